// What the page says, in plain words, with the next step. On the left: codes of the protocol.

export const ENDED = {
  left: "Your partner hung up. Press Next to meet somebody else.",
  next: "Your partner left to meet somebody else. Press Next to do the same.",
  vanished: "Your partner’s connection is lost. You are the first who gets a new partner.",
  blocked: "Blocked. You will not meet this person again as long as one of you stays on this page. Press Next to meet somebody else.",
  unreachable: "No connection between you and your partner was possible. Press Next to meet somebody else.",
  relay: "Your partner could not reach the relay of this site. Press Next to meet somebody else.",
  broken: "The connection to your partner was lost and did not come back. Press Next to meet somebody else.",
  changed: "The call was ended because its encryption key changed on the way. Press Next to meet somebody else.",
  unable: "The other browser could not make the call. Press Next to meet somebody else.",
  banned: "The operator of this site ended the call. Press Next to meet somebody else.",
  drained: "The server restarts, so the call has ended. Press Start again in a minute.",
};

// Close codes after which the page does not connect again by itself.
export const REFUSED = {
  1000: "The server ended the connection. Press Start to begin again.",
  1001: "The server ended the connection. Press Start to begin again.",
  1007: "The server did not understand this page. Load the page again.",
  1009: "That was too large for the server. Press Start to begin again.",
  4400: "The server did not understand this page. Load the page again to get the newest one.",
  4401: "The password of this site has changed, or you entered it too long ago. Load the page again and enter it.",
  4403: "This server does not accept calls from your connection. If you think that this is an error, write to the operator of this site.",
  4406: "This page is older than the server. Load the page again.",
  4409: "The call goes on in another tab or window. Press Start to begin a new one here.",
};

// Close codes after which the page connects again: what happened.
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

// Errors of getUserMedia.
export const MICROPHONE = {
  NotAllowedError: "The microphone is blocked. Allow it for this site in the browser’s address bar, then press Start again.",
  NotFoundError: "No microphone was found. Connect one, then press Start again.",
  NotReadableError: "Another program uses the microphone. Close it, then press Start again.",
  insecure: "Browsers allow the microphone only on pages whose address begins with https:// (or on this machine). Open this page with https://.",
  other: "The microphone could not be opened. Check it in the settings of your system, then press Start again.",
};

export const LOST = {
  relay: "The relay cannot be reached from your network. Try another network, then press Start.",
  unreachable: "No connection to your partner was possible. Press Next to meet somebody else. If it happens again, turn on “Hide my address”.",
  changed: "Your partner’s encryption key changed during the call. To be safe, the call was ended. Press Next to meet somebody else.",
  broken: "The connection to your partner broke and did not come back. Press Next to meet somebody else.",
};

export const PICTURE = {
  unreadable: "Your browser cannot read this file as a picture. Choose a JPEG, PNG or WebP file.",
  large: "This picture is too large, even when it is made smaller. Choose another one.",
  refused: "The picture did not arrive. Try again.",
  cancelled: "The picture was cancelled.",
  odd: "A picture arrived, but it cannot be shown.",
};

export const ERRORS = {
  too_fast: "That was too fast for the server. Wait a moment.",
  too_many: "The server is full right now. Press Start again in a minute.",
  bad_text: "The server did not accept that text.",
  bad_picture: PICTURE.refused,
  bad_sdp: "The server refused the call of your browser, because it was not encrypted as this site requires. Update the browser.",
  internal: "There was an error in the server. Press Next, or press Start again.",
};

export const REACHING = "Reaching the server…";
export const WAITING = "Looking for somebody to talk to…";
export const ASKING = "Please allow the microphone when your browser asks.";
export const CONNECTING = "Somebody is there. Connecting…";
export const TALKING = "You are talking.";
export const SHAKY = "The voice connection is interrupted. Trying to get it back…";
export const PARTNER_AWAY = "Your partner’s connection is interrupted. Waiting for it to come back…";
export const ALONE = "The server has lost this call: the voice goes on, but text and pictures do not.";
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
