// What the page says, in plain words that name the next step; codes of the protocol on the left.

export const ENDED = {
  left: "Your partner hung up. Press Next to meet somebody else.",
  next: "Your partner went on to somebody else. Press Next to do the same.",
  vanished: "Your partner’s connection is gone. You are first in line for the next one.",
  blocked: "Blocked. You two are not matched again while this server runs. Press Next to meet somebody else.",
  banned: "The operator of this site ended the call. Press Next to meet somebody else.",
  drained: "The server is being restarted, and the call ended. Press Start again in a minute.",
};

// Close codes after which the page does not connect again by itself.
export const REFUSED = {
  1000: "The server ended the connection. Press Start to begin again.",
  1001: "The server ended the connection. Press Start to begin again.",
  1007: "The server did not understand this page. Load the page again.",
  1009: "That was too large for the server. Press Start to begin again.",
  4400: "The server did not understand this page. Load the page again, so that it is up to date.",
  4401: "The password of this site has changed, or was entered too long ago. Load the page again and enter it.",
  4403: "This server does not accept calls from your connection. If you think that this is a mistake, write to its operator.",
  4406: "This page is older than the server. Load the page again.",
  4409: "The call goes on in another tab or window. Press Start to begin a new one here.",
};

// Close codes after which it does: what happened.
export const AWAY = {
  1012: "The server is restarting.",
  1013: "The server is busy or your connection is slow.",
  4408: "The connection is slow.",
  4429: "There were too many messages or open pages from your network.",
};
export const GONE = "The server cannot be reached.";

export function retry(seconds) {
  if (seconds < 1.5) return "Trying again now.";
  return `Trying again in ${Math.round(seconds)} seconds.`;
}

// What getUserMedia may refuse with.
export const MICROPHONE = {
  NotAllowedError: "The microphone is blocked. Allow it for this site in the browser’s address bar, then press Start again.",
  NotFoundError: "No microphone was found. Connect one, then press Start again.",
  NotReadableError: "Another program uses the microphone. Close it, then press Start again.",
  insecure: "Browsers give the microphone only to pages that were opened with https:// (or on this machine). Open this page so.",
  other: "The microphone could not be opened. Check it in the system’s settings, then press Start again.",
};

export const LOST = {
  relay: "The relay cannot be reached from your network. Try another network, then press Start.",
  unreachable: "No path to your partner was found. Press Next to meet somebody else; if it happens again, switch on “Hide my address”.",
  changed: "Your partner’s encryption key changed in the middle of the call, so the call was ended to be safe. Press Next to meet somebody else.",
  broken: "The connection to your partner broke and did not come back. Press Next to meet somebody else.",
};

export const PICTURE = {
  unreadable: "This file is no picture that your browser can read. Choose a JPEG, PNG or WebP.",
  large: "This picture stays too large even when made smaller. Choose another one.",
  refused: "The picture did not arrive. Try again.",
  cancelled: "The picture was cancelled.",
  odd: "A picture arrived that cannot be shown.",
};

export const ERRORS = {
  too_fast: "That was too fast for the server. Wait a moment.",
  too_many: "The server is full right now. Press Start again in a minute.",
  bad_text: "The server did not accept that text.",
  bad_picture: PICTURE.refused,
  bad_sdp: "Your browser’s call offer was refused: it was not encrypted as this site requires. Update the browser.",
  internal: "Something went wrong in the server. Press Next or Start again.",
};

export const REACHING = "Reaching the server…";
export const WAITING = "Looking for somebody to talk to…";
export const ASKING = "Please allow the microphone in your browser’s question.";
export const CONNECTING = "Somebody is there. Connecting…";
export const TALKING = "You are talking.";
export const SHAKY = "The voice connection is interrupted. Trying to get it back…";
export const PARTNER_AWAY = "Your partner’s connection is interrupted. Waiting for it to come back…";
export const ALONE = "The server lost track of this call: the voice goes on, text and pictures do not.";
export const IDLE = "Ready when you are.";
export const STOPPED = "The call has ended.";
export const PATH = { direct: "direct", relay: "through the relay" };

export function reported(code) {
  return `Reported under the code ${code}. You can block your partner or press Next.`;
}

const names = new Intl.DisplayNames(["en"], { type: "region", fallback: "code" });

export function country(code) {
  return names.of(code.toUpperCase());
}

export function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
