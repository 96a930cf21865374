// What the browser remembers between visits: a random token, the wishes, the choices about sound, and accepted rules. Nothing else.

const PREFIX = "calln.";
const memory = new Map(); // if storage is blocked, the wishes last as long as the page

function read(key) {
  try {
    return localStorage.getItem(PREFIX + key) ?? memory.get(key) ?? "";
  } catch {
    return memory.get(key) ?? "";
  }
}

function write(key, value) {
  memory.set(key, value);
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // it stays in memory only
  }
}

export function token() {
  if (!/^[A-Za-z0-9_-]{16,64}$/.test(read("token"))) {
    const bytes = crypto.getRandomValues(new Uint8Array(24));
    write("token", btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_"));
  }
  return read("token");
}

export const wish = {
  read: () => read("wish").split(" ").filter((code) => /^[a-z]{2}$/.test(code)),
  write: (codes) => write("wish", codes.join(" ")),
};

export const hide = {
  read: () => read("hide") === "yes",
  write: (on) => write("hide", on ? "yes" : ""),
};

export const chime = {
  read: () => read("chime") !== "no",
  write: (on) => write("chime", on ? "" : "no"),
};

const text = (key) => ({ read: () => read(key), write: (value) => write(key, value) });

export const sound = {
  microphone: text("microphone"), // ids that the browser made up for this site alone; empty: the usual device
  speaker: text("speaker"),
  noise: { read: () => read("noise") !== "no", write: (on) => write("noise", on ? "" : "no") },
  push: { read: () => read("push") === "yes", write: (on) => write("push", on ? "yes" : "") },
};

export const accepted = text("rules"); // which version of the site's rules

// The address of the page can ask for relayed paths: for tests, and for a link with which nobody can forget it.
export const relayForced = new URLSearchParams(location.search).get("relay") === "1";
