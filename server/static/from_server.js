// What the server says, and what becomes of its connection.

import { ahead } from "./ahead.js";
import { begin } from "./beginning.js";
import { forgetCallBack, showCallBack, wantedBack } from "./callback.js";
import { closeComposer } from "./composer.js";
import { end, ended, goIdle, leave, letGo, lost } from "./ending.js";
import { takeIce } from "./fresh_ice.js";
import { showGuard } from "./guard.js";
import { dropLink } from "./invite.js";
import { become, page, share, signalling, voice } from "./page.js";
import { makeReady, queue, waitingText } from "./queue.js";
import { at, say, trouble } from "./view.js";
import { takeNews } from "./waiting.js";
import * as words from "./words.js";

const BRIEFLY = 1500; // ms without the server, of which a call need not know
const LINK_ERRORS = new Set(["link_taken", "link_only", "no_links"]);

const ours = (take) => (message) => message.call === page.call?.id && take(message);
const media = ours((message) => page.call.receive(message));
const shared = ours((message) => share.receive(message));

const TAKE = {
  waiting: requeued,
  "call-back": calledBack,
  queue: (message) => page.state === "waiting" && takeNews(message),
  matched: (message) => page.state === "waiting" && voice.stream && begin(message),
  offer: media,
  answer: media,
  candidate: media,
  text: shared,
  picture: shared,
  "picture-ack": shared,
  "picture-cancel": shared,
  sent: (message) => share.receive(message),
  ice: ({ ice }) => takeIce(ice) || page.call?.offered(ice),
  partner: ours(({ state }) => page.talk?.partner(state)),
  reported: (message) => say(words.reported(message.code)),
  ended: ours(ended),
  error: failed,
};

export function receive(message) {
  TAKE[message.type]?.(message);
}

// The server has us in its queue, even if this page did not know it.
function requeued() {
  if (page.state === "idle" || page.state === "ended") return;
  if (page.call) {
    leave();
    become("waiting", waitingText());
  } else if (at("status").textContent !== words.ENDED.vanished) say(waitingText());
  makeReady();
}

// What has become of the wish to call back, of this side or the other.
function calledBack(message) {
  if (message.state === "wanted") return wantedBack(message) && page.state === "ended" && say(words.CALL_BACK.wanted);
  if (page.state !== "waiting" || page.wanted !== "call-back") return undefined;
  if (message.state === "asked") {
    takeNews(null);
    showCallBack(false);
    makeReady();
    return say(words.CALL_BACK.asked);
  }
  forgetCallBack();
  return end(words.CALL_BACK.gone);
}

function failed({ code, id }) {
  if (id === "again") return goIdle(words.TOO_LATE);
  const known = words.ERRORS[code] ?? words.ERRORS.internal;
  const text = share.refused(id, known) || code in words.ERRORS ? known : "";
  if (LINK_ERRORS.has(code)) notByLink();
  if (code === "bad_picture") share.pictureRefused();
  if (code === "bad_sdp" && page.call) lost("unreachable");
  if (text) trouble(text);
}

function notByLink() {
  if (page.state !== "waiting") return;
  letGo();
  dropLink();
  become("idle", words.IDLE);
}

// With which a server that starts after a crash takes the call up again.
export function ticket() {
  return page.call?.wasConnected && !page.orphan ? page.call.ticket : null;
}

// The socket has greeted: a new visit, or the one from before.
export function ready(hello) {
  if (page.seat) return sitDown(hello);
  ahead.drop();
  if (page.state === "waiting" && hello.state === "waiting") goOnWaiting();
  else if (page.state === "waiting" && hello.state !== "calling" && voice.stream) queue();
  if (!page.call) return;
  trouble();
  if (hello.resumed || hello.call === page.call.id) {
    share.resumed();
    return page.call.repair.hurry();
  }
  if (page.call.connected) return adrift();
  leave();
  become("waiting", words.REACHING);
  queue("start");
}

function goOnWaiting() {
  say(waitingText());
  makeReady();
}

function sitDown(hello) {
  const { call } = page.seat;
  page.seat = null;
  if (hello.resumed && hello.call === call) signalling.send({ type: "again", id: "again", call });
  else goIdle(words.TOO_LATE);
}

// The server has forgotten the call (it was restarted), but voices need no server.
function adrift() {
  page.orphan = true;
  showGuard({ block: false, report: false, safety: true });
  trouble(share.private ? words.ALONE : words.ALONE_WITHOUT_CHANNEL);
  if (share.private) return;
  share.end();
  closeComposer();
}

// The socket is gone; the next attempt is `seconds` from now.
export function away(code, seconds) {
  takeIce(null);
  const text = `${words.AWAY[code] ?? words.GONE} ${words.retry(seconds)}`;
  if (page.state === "waiting") return say(text);
  setTimeout(() => page.call && !page.orphan && !signalling.ready && trouble(text), BRIEFLY);
}

// There is no next attempt.
export function refused(code) {
  const inCall = page.call !== null;
  leave();
  letGo();
  if (page.state !== "ended") become(inCall ? "ended" : "idle", inCall ? words.STOPPED : words.IDLE);
  trouble(words.REFUSED[code]);
}
