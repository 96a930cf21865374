// What the page says, in plain words, with the next step. On the left: codes of the protocol.

import { _, language, ngettext } from "./language.js";

export const ENDED = {
  left: _("Your partner hung up. Press Next to meet somebody else."),
  next: _("Your partner left to meet somebody else. Press Next to do the same."),
  vanished: _("Your partner’s connection is lost. You are the first who gets a new partner."),
  blocked: _("Blocked. You will not meet this person again as long as one of you stays on this page. Press Next to meet somebody else."),
  unreachable: _("No connection between you and your partner was possible. Press Next to meet somebody else."),
  relay: _("Your partner could not reach the relay of this site. Press Next to meet somebody else."),
  broken: _("The connection to your partner was lost and did not come back. Press Next to meet somebody else."),
  changed: _("The call was ended because its encryption key changed on the way. Press Next to meet somebody else."),
  unable: _("The other browser could not make the call. Press Next to meet somebody else."),
  banned: _("The operator of this site ended the call. Press Next to meet somebody else."),
  drained: _("The server restarts, so the call has ended. Press Start again in a minute."),
};

// Close codes after which the page does not connect again by itself.
export const REFUSED = {
  1000: _("The server ended the connection. Press Start to begin again."),
  1007: _("The server did not understand this page. Load the page again."),
  1009: _("That was too large for the server. Press Start to begin again."),
  4400: _("The server did not understand this page. Load the page again to get the newest one."),
  4401: _("The password of this site has changed, or you entered it too long ago. Load the page again and enter it."),
  4403: _("This server does not accept calls from your connection. If you think that this is an error, write to the operator of this site."),
  4406: _("This page is older than the server. Load the page again."),
  4409: _("The call goes on in another tab or window. Press Start to begin a new one here."),
};

// Close codes after which the page connects again: what happened.
export const AWAY = {
  1012: _("The server is restarting."),
  1013: _("The server is busy or your connection is slow."),
  4408: _("The connection is slow."),
  4429: _("There were too many messages or open pages from your network."),
};
export const GONE = _("The server cannot be reached.");

export function retry(seconds) {
  if (seconds < 1.5) return _("Trying again now.");
  return ngettext("Trying again in {number} second.", "Trying again in {number} seconds.", Math.round(seconds));
}

// Errors of getUserMedia.
export const MICROPHONE = {
  NotAllowedError: _("The microphone is blocked. Allow it for this site in the browser’s address bar, then press Start again."),
  NotFoundError: _("No microphone was found. Connect one, then press Start again."),
  NotReadableError: _("Another program uses the microphone. Close it, then press Start again."),
  insecure: _("Browsers allow the microphone only on pages whose address begins with https:// (or on this machine). Open this page with https://."),
  other: _("The microphone could not be opened. Check it in the settings of your system, then press Start again."),
};

export const LOST = {
  relay: _("The relay cannot be reached from your network. Try another network, then press Start."),
  unreachable: _("No connection to your partner was possible. Press Next to meet somebody else. If it happens again, turn on “Hide my address”."),
  changed: _("Your partner’s encryption key changed during the call. To be safe, the call was ended. Press Next to meet somebody else."),
  unable: _("This browser could not begin the call. Load the page again, or take another browser."),
  broken: _("The connection to your partner broke and did not come back. Press Next to meet somebody else."),
  odd: _("Your partner’s page behaved in a way that no page of this site does, so the call was ended. Press Next to meet somebody else."),
};

export const PICTURE = {
  unreadable: _("Your browser cannot read this file as a picture. Choose a JPEG, PNG or WebP file."),
  large: _("This picture is too large, even when it is made smaller. Choose another one."),
  refused: _("The picture did not arrive. Try again."),
  cancelled: _("The picture was cancelled."),
  odd: _("A picture arrived, but it cannot be shown."),
  heic: _("Your browser cannot read HEIC pictures. Send a screenshot of it, or set your camera to JPEG (“Most compatible”)."),
};

export const PICTURE_BUTTON = {
  show: _("Show the picture"),
  enlarge: _("Enlarge the picture"),
};

export const ERRORS = {
  link_taken: _("Two others use this link already. Ask for a new one, or invite somebody yourself."),
  link_only: _("On this site you need a link to a call. Ask somebody for one, or invite somebody."),
  no_links: _("This site has no calls by link. Press Start to meet somebody."),
  too_fast: _("That was too fast. Wait a moment."),
  too_many: _("The server is full right now. Press Start again in a minute."),
  bad_text: _("The server did not accept that text."),
  bad_picture: PICTURE.refused,
  bad_sdp: _("The server refused the call of your browser, because it was not encrypted as this site requires. Update the browser."),
  internal: _("There was an error in the server. Press Next, or press Start again."),
};

export const REACHING = _("Reaching the server…");
export const WAITING = _("Looking for somebody to talk to…");
export const ASKING = _("Please allow the microphone when your browser asks.");
export const CONNECTING = _("Somebody is there. Connecting…");
export const TALKING = _("You are talking.");
export const QUALITY = { good: _("good"), weak: _("weak"), bad: _("bad") };
export const NO_QUALITY = _("not known yet");
export const QUALITY_WHY = {
  none: _("The voices come through well."),
  loss: _("Parts of your partner’s voice get lost on the way."),
  theirs: _("Parts of your voice get lost on the way to your partner: go closer to the Wi-Fi, or let nothing else use the line."),
  jitter: _("Your partner’s voice arrives unevenly: perhaps something else uses the line."),
  delay: _("The voices take long: wait a moment before you answer."),
};
export const MUTED = _("You are muted: your partner does not hear you.");
export const FORGOTTEN = _("You are speaking, but you are muted.");
export const HOLD = _("You are heard while you hold the button “Hold to talk” or the key T.");
export const HUSHED = _("Your system has muted the microphone: your partner does not hear you. Look for a switch at the device or in the settings.");
export const NO_MICROPHONE = _("The microphone is gone, and no other one was found: your partner does not hear you. Connect one; it is used at once.");
export const DEFAULT_DEVICE = _("The usual one");
export const SHAKY = _("The voice connection is interrupted. Trying to get it back…");
export const SOON = _("You are connected. The voice of your partner comes in a moment…");
export const QUIET = _("You are connected, but no sound comes from your partner: perhaps a phone call or a lock of the screen holds it back.");
export const NO_WEBRTC = _("This browser makes no calls (WebRTC is switched off or missing). Switch it on (in Firefox: about:config, media.peerconnection.enabled), or take another browser.");
export const COMING_BACK = _("Going back to your call…");
export const TOO_LATE = _("The call has ended while the page was loaded. Press Start to meet somebody.");
export const PARTNER_LOADING = _("Your partner’s page was closed or is loaded again. Waiting a few seconds for it to come back…");
export const PARTNER_AWAY = _("Your partner’s connection is interrupted. Waiting for it to come back…");
export const ALONE = _("The server has lost this call. Voice, text and pictures go on between the two of you; Block and Report do not work in this call.");
export const ALONE_WITHOUT_CHANNEL = _("The server has lost this call: the voice goes on, but text and pictures do not.");
export const PARTNER_MUTED = _("Your partner has muted the microphone.");
export const PARTNER_TYPES = _("Your partner is writing…");
export const THROUGH_SERVER = _("through the server, which could read it");
export const STATES = { sending: _("sending…"), sent: _("passed on by the server"), delivered: _("delivered"), lost: _("not sent") };
export const SAFETY = {
  coming: _("The code is being made…"),
  none: _("There is no code: do not trust that nobody listens. Your partner may use another program, or somebody sits between you."),
  code: _("Read it to each other. If both of you have the same code, nobody listens in, not even this server. If not, somebody does: end the call."),
};
export const CHANNEL_GONE = _("Text and pictures stop in this call. The voice goes on.");
export const LINE_NOT_SENT = _("A message was not sent.");
export const SEND_AGAIN = _("Send again");
export const IDLE = _("Ready when you are.");
export const STOPPED = _("The call has ended.");
export const PATH = { direct: _("direct"), relay: _("through the relay") };
export const NO_PATH = _("not known yet");
export const ANY_COUNTRY = _("any country");
export const TITLES = { waiting: _("Waiting"), connecting: _("Connecting"), talking: _("Talking"), ended: _("Call ended") };
export const WHO = { you: _("You"), partner: _("Partner") };
export const SHOWN = { you: _("The picture that you sent"), partner: _("A picture from your partner") };

export function reported(code) {
  return _("Reported under the code {code}. You can block your partner or press Next.", { code });
}

const names = new Intl.DisplayNames([language], { type: "region", fallback: "code" });

export function country(code) {
  return names.of(code.toUpperCase());
}

export function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

// Why nobody fits yet: what the server's `queue` says, as a sentence.
export const WHY = {
  nobody: _("Nobody else waits right now. Keep this page open: you meet the next person who comes."),
  tab: _("Another tab or window of this browser waits, too. Two of one browser never meet. To try this site alone, use a second browser or your phone."),
  wish: _("Somebody waits, but not from the countries that you chose."),
  busy: _("Somebody waits whose network looks for many partners. Others come first for some seconds."),
  reunion: _("Only the person you just met is here. You meet again in a moment."),
  unsuited: _("Nobody who waits right now fits. Keep this page open: you meet the next person who does."),
  link: _("You talk as soon as the person with the same link has pressed Start. Keep this page open."),
  parted: _("The person you just met is here, too. Looking for somebody else first."),
  again: _("Only the person you just met is here. Meet again?"),
  asked: _("The person you just met would like to meet again."),
  agreed: _("You would meet the person you just met again. Waiting for the answer."),
};

// Titles of a hidden page.
const SOMEBODY_IS_THERE = _("Somebody is there");
export const SOMEBODY = `● ${SOMEBODY_IS_THERE}`;

export function newTexts(number) {
  return ngettext("({number}) new message", "({number}) new messages", number);
}

export const INVITE = {
  invited: _("You are invited to a call. Press Start and allow the microphone."),
  waiting: _("Waiting for the other one with this link…"),
  copied: _("Copied. Send the link to one person."),
  byHand: _("Your browser does not copy by itself. The link is selected: copy it."),
};

export const CALL_BACK = {
  asked: _("Your last partner is asked. You talk again as soon as both of you want it."),
  wanted: _("Your last partner would like to talk again."),
  gone: _("Your last partner is not there any more. Press Next to meet somebody else."),
};

export function about(number) {
  return number > 5 ? _("about {number}", { number }) : String(number);
}
