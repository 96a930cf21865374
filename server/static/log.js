// The conversation: lines and pictures, bounded, and deleted after the call.

import { linked } from "./linked.js";
import { framed, putAway } from "./picture_view.js";
import { at } from "./view.js";
import { SEND_AGAIN, SHOWN, STATES, THROUGH_SERVER, WHO } from "./words.js";

const MOST = 200; // entries; a partner who types without end must not fill the memory
const MOST_PICTURES = 12; // of up to 2 MiB each

const NEAR = 8; // px from the end that are the end

const log = () => at("log");

// `via`: which way it went. What the server could read says so.
function entry(from, content, via) {
  const line = document.createElement("div");
  line.className = `entry ${from}`;
  const who = document.createElement("span");
  who.className = "who";
  who.textContent = WHO[from];
  line.append(who, content);
  if (via === "server") line.append(note(THROUGH_SERVER));
  return append(line);
}

function toEnd() {
  log().scrollTop = log().scrollHeight;
}

// When the window shrinks, as for a phone's keyboard, the newest line stays in sight; but not for somebody who reads older ones.
let following = true;
log().addEventListener("scroll", () => (following = log().scrollTop + log().clientHeight > log().scrollHeight - NEAR));
new ResizeObserver(() => following && toEnd()).observe(log());

function append(line) {
  log().append(line);
  if (log().children.length > MOST) remove(log().firstElementChild);
  const pictures = log().querySelectorAll("img");
  if (pictures.length > MOST_PICTURES) remove(pictures[0].closest(".entry"));
  toEnd();
  return line;
}

function remove(line) {
  for (const image of line.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  line.remove();
}

export function addText(from, text, via) {
  const said = document.createElement("span");
  said.className = "said";
  said.dir = "auto";
  said.append(...linked(text));
  return entry(from, said, via);
}

// Resolves to its entry, or to null if the browser cannot show it.
export async function addPicture(from, blob, via) {
  const image = document.createElement("img");
  image.alt = SHOWN[from];
  image.src = URL.createObjectURL(blob);
  const line = entry(from, framed(image, from === "partner"), via);
  const shown = await image.decode().then(() => true, () => false);
  if (!shown) remove(line);
  toEnd();
  return shown ? line : null;
}

function note(text) {
  const words = document.createElement("span");
  words.className = "note";
  words.textContent = text;
  return words;
}

// Says beside an entry what became of it: sending, sent, delivered or lost; `again` is called to send it once more.
// A screen reader finds it there, but does not speak up at each change.
export function mark(line, state, again = null) {
  line.dataset.sent = state;
  line.querySelector(".fate")?.remove();
  const fate = note(STATES[state]);
  fate.classList.add("fate");
  fate.setAttribute("aria-live", "off");
  if (again) fate.append(" ", button(SEND_AGAIN, () => sendAgain(line, again)));
  line.append(fate);
}

function sendAgain(line, again) {
  at("message").focus(); // the button, which has the focus, goes
  remove(line);
  again();
}

function button(name, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: name });
  made.addEventListener("click", act);
  return made;
}

export function clearLog() {
  putAway();
  for (const line of [...log().children]) remove(line);
}
