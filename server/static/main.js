// The states of the page (idle, waiting, connecting, talking, ended), and what the person and the server change in them.

import { setUpAttention } from "./attention.js";
import { keepAwake } from "./awake.js";
import { Call, warmUp } from "./call.js";
import { forgetCallBack, lastCall, offerCallBack, setUpCallBack, showCallBack, wantedBack } from "./callback.js";
import { CHANNEL } from "./channel_messages.js";
import { closeComposer, setUpComposer } from "./composer.js";
import { setUpGuard, showGuard } from "./guard.js";
import { keepOfflinePage } from "./installed.js";
import { dropLink, linked, linkKnown, matching, setUpInvite, showInvite } from "./invite.js";
import { setUpLeaving } from "./leaving.js";
import { Meters } from "./meter.js";
import { mediaKey } from "./mute.js";
import { Partner } from "./partner.js";
import { keepSeat, takeSeat } from "./seat.js";
import { rulesAccepted } from "./rules.js";
import { relayForced, token } from "./settings.js";
import { setUpSafety, showSafety } from "./safety_view.js";
import { Share } from "./share.js";
import { Signalling } from "./signalling.js";
import { Talk } from "./talk.js";
import { at, offerCheck, play, restStop, say, showFacts, showState, trouble } from "./view.js";
import { Voice } from "./voice.js";
import { setUpWaiting, showWaiting, takeNews } from "./waiting.js";
import { chooseAny, setUpWishes, wishes } from "./wishes.js";
import * as words from "./words.js";

const LINGER = 60_000; // ms after a call in which it can be reported; then the page forgets it
const BRIEFLY = 1500; // ms without the server, of which a call need not know
const ECHO = 2000; // ms in which the server says, too, that the partner has left
const LINK_ERRORS = new Set(["link_taken", "link_only", "no_links"]);
const CALL_BACK_AFTER = new Set(["left", "next", "vanished", "unreachable", "relay", "broken", "unable"]);

const page = {
  state: "idle", call: null, talk: null, partner: null, last: null, seat: null, orphan: false, again: false,
  wanted: "start", // how the server is asked for a partner: with "next" it is not the last one again
  reported: null, // the call whose partner was reported
};
const signalling = new Signalling(token(), { message: receive, chunk: (bytes) => share.chunk(bytes), ready, away, refused });
const share = new Share((message) => signalling.send(message), (bytes) => signalling.sendChunk(bytes));
const meters = new Meters((name, level) => voice.show(name, level));
const voice = new Voice(meters, { replaced: (track) => page.call?.replaceVoice(track), heard: (yes) => page.partner?.mute(!yes) });
let lingering = 0;
let takeIce = () => {};

function become(state, text) {
  page.state = state;
  const talking = state === "talking";
  showGuard({ block: talking, report: talking || page.last !== null, safety: talking });
  showState(state);
  showWaiting(state === "waiting");
  if (state !== "ended") offerCheck();
  showCallBack(state === "ended" || state === "waiting");
  showInvite(state);
  say(text);
  keepAwake(state === "connecting" || state === "talking");
}

// What a person does

async function start(how = "start") {
  if (page.state !== "idle" && page.state !== "ended") return;
  if (!rulesAccepted(() => start(how))) return;
  clearTimeout(lingering);
  page.last = null;
  share.forget();
  trouble();
  if (!window.RTCPeerConnection) return trouble(words.NO_WEBRTC);
  become("waiting", words.ASKING);
  restStop();
  warmUp();
  await linkKnown();
  page.wanted = how;
  signalling.open(); // it takes its time, as the microphone does
  if (await listen()) queue(how);
}

// Whether there is a microphone.
async function listen() {
  try {
    await voice.open();
  } catch (error) {
    noMicrophone(error.name);
    return false;
  }
  return true;
}

// The page was loaded again in the middle of a call.
async function comeBack(seat) {
  if (!seat) return;
  become("waiting", words.COMING_BACK);
  page.seat = seat;
  page.again = true;
  if (seat.muted) voice.mute.toggle();
  if (await listen()) signalling.open(seat);
}

function tooLate() {
  letGo();
  become("idle", words.IDLE);
  trouble(words.TOO_LATE);
}

function noMicrophone(name) {
  if (name === "stale") return;
  letGo();
  become("idle", words.IDLE);
  trouble(words.MICROPHONE[name] ?? words.MICROPHONE.other);
}

// The server's `waiting` says when we are in the queue.
function queue(how = page.wanted) {
  page.wanted = how;
  say(words.REACHING);
  if (signalling.wanted) signalling.send(request()); // or ready() goes on
  else signalling.open();
}

function request() {
  if (page.wanted === "call-back" && lastCall()) return { type: "call-back", call: lastCall() };
  return { type: page.wanted === "next" ? "next" : "start", ...wishes(), ...linked() };
}

// The address holds a link.
function invited(yes) {
  showInvite(page.state);
  if (yes && page.state === "idle") say(words.INVITE.invited);
}

// Another link was put into the address.
function follow(yes) {
  invited(yes);
  if (yes && page.state === "waiting") queue("next");
}

function meetAnybody() {
  dropLink();
  if (page.state === "waiting") queue("next");
  else if (page.state === "idle") say(words.IDLE);
}

function callBack() {
  if (page.state !== "waiting") return start("call-back");
  queue("call-back");
}

function next() {
  if (page.state === "waiting" || matching === "link") return;
  dropLink(); // Next is for somebody else
  if (page.state === "ended") return start("next");
  page.partner?.bye("next");
  leave();
  page.last = null;
  share.forget();
  trouble();
  become("waiting", words.REACHING);
  queue("next");
}

function stop() {
  if (at("stop").getAttribute("aria-disabled") === "true") return;
  trouble();
  if (page.state === "waiting") {
    letGo();
    return become("idle", words.IDLE);
  }
  page.partner?.bye("left");
  signalling.send({ type: "stop" });
  leave();
  share.forget();
  end(words.STOPPED);
}

function report(reason) {
  page.reported = page.call?.id ?? page.last;
  signalling.send({ type: "report", call: page.reported, reason });
  forgetCallBack();
}

function block() {
  signalling.send({ type: "block", call: page.call.id });
}

function wishesChanged() {
  if (page.state === "waiting" && signalling.ready) signalling.send({ type: "next", ...wishes(), ...linked() });
}

// How a call begins and ends

function begin(matched) {
  const both = matched.features?.includes(CHANNEL);
  page.partner = both ? new Partner(share, { left: parted, first: !matched.polite, keys: () => page.call.keys }) : null;
  if (!both) showSafety(null);
  forgetCallBack();
  share.begin(matched.call, page.partner?.channel, page.again);
  if (page.again) voice.mute.show();
  else voice.mute.reset();
  page.again = false;
  page.orphan = false;
  showFacts({ seconds: 0, path: null, from: matched.country });
  const on = { remote: hear, connected, voice: (state, stats) => page.talk.voice(state, stats), lost };
  const relay = matched.relay || relayForced;
  become("connecting", words.CONNECTING);
  try {
    const about = { relay, send: (message) => signalling.send(message), fresh: freshIce, on, channel: page.partner?.channel };
    page.call = new Call(matched, voice.stream, about);
  } catch {
    lost("unable");
  }
}

async function hear(stream) {
  meters.listen("partner", stream);
  at("hear").hidden = await play(stream);
}

function connected() {
  const call = page.call;
  become("talking", words.SOON);
  keepOfflinePage();
  page.talk = new Talk(call, {
    path: (path) => signalling.send({ type: "connected", call: call.id, path }),
    silent: (yes) => (signalling.hasty = yes),
  });
}

// The partner's page says good-bye. The server says so, too, if it can; then its word is waited for.
function parted(reason) {
  const call = page.call;
  const go = () => {
    if (call !== page.call) return;
    signalling.send({ type: "stop" });
    ended({ reason });
  };
  if (page.orphan || !signalling.ready) go();
  else setTimeout(go, ECHO);
}

function lost(why) {
  page.partner?.bye(why);
  signalling.send({ type: "stop", reason: why === "odd" ? undefined : why }); // that word is for this page alone
  leave();
  if (!CALL_BACK_AFTER.has(why)) forgetCallBack();
  end(words.STOPPED);
  trouble(words.LOST[why]);
  offerCheck(why);
}

function leave() {
  if (!page.call) return;
  page.talk?.end();
  page.talk = null;
  signalling.hasty = false;
  page.call.close();
  page.partner?.end();
  page.partner = null;
  page.last = page.orphan ? null : page.call.id;
  offerCallBack(page.last === page.reported ? null : page.last);
  page.call = null;
  page.orphan = false;
  meters.silence("partner");
  play(null);
  at("hear").hidden = true;
  share.end();
}

function end(text) {
  voice.close();
  become("ended", text);
  clearTimeout(lingering);
  lingering = setTimeout(() => {
    letGo();
    become("ended", at("status").textContent);
  }, LINGER);
}

function letGo() {
  clearTimeout(lingering);
  voice.close();
  signalling.close();
  page.last = page.seat = null;
  page.again = false;
  forgetCallBack();
}

// Null while the server is away: then a call goes on with what it has, and repairs nothing.
function freshIce() {
  return new Promise((done) => {
    takeIce(null);
    takeIce = done;
    if (!signalling.ask({ type: "ice" })) done(null);
  });
}

// What the server says

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
  ice: (message) => takeIce(message.ice),
  partner: ours(partner),
  reported: (message) => say(words.reported(message.code)),
  ended: ours(ended),
  error: failed,
};

function receive(message) {
  TAKE[message.type]?.(message);
}

// The server has us in its queue, even if this page did not know it.
function requeued() {
  if (page.state === "idle" || page.state === "ended") return;
  if (page.call) {
    leave();
    become("waiting", waitingText());
  } else if (at("status").textContent !== words.ENDED.vanished) say(waitingText());
}

function waitingText() {
  return linked().link ? words.INVITE.waiting : words.WAITING;
}

// What has become of the wish to call back, of this side or the other.
function calledBack(message) {
  if (message.state === "wanted") return wantedBack(message) && page.state === "ended" && say(words.CALL_BACK.wanted);
  if (page.state !== "waiting" || page.wanted !== "call-back") return undefined;
  if (message.state === "asked") {
    takeNews(null);
    showCallBack(false);
    return say(words.CALL_BACK.asked);
  }
  forgetCallBack();
  return end(words.CALL_BACK.gone);
}

function partner({ state }) {
  page.talk?.partner(state);
}

function ended({ reason }) {
  const why = reason === "left" ? (page.partner?.farewell ?? reason) : reason;
  leave();
  page.again = reason === "renewed"; // with the same partner
  if (!CALL_BACK_AFTER.has(reason)) forgetCallBack();
  trouble();
  if (page.again) become("waiting", words.PARTNER_LOADING);
  else if (reason === "vanished") become("waiting", words.ENDED.vanished);
  else end(words.ENDED[why] ?? words.STOPPED);
  if (page.state === "ended") offerCheck(reason);
}

function failed({ code, id }) {
  if (id === "again") return tooLate();
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

function ready(hello) {
  if (page.seat) return sitDown(hello);
  if (page.state === "waiting" && hello.state === "waiting") say(waitingText());
  else if (page.state === "waiting" && hello.state !== "calling" && voice.stream) queue();
  if (!page.call) return;
  trouble();
  if (hello.resumed) {
    share.resumed();
    return page.call.repair.hurry();
  }
  if (page.call.connected) return adrift();
  leave();
  become("waiting", words.REACHING);
  queue("start");
}

function sitDown(hello) {
  const { call } = page.seat;
  page.seat = null;
  if (hello.resumed && hello.call === call) signalling.send({ type: "again", id: "again", call });
  else tooLate();
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

function away(code, seconds) {
  takeIce(null);
  const text = `${words.AWAY[code] ?? words.GONE} ${words.retry(seconds)}`;
  if (page.state === "waiting") return say(text);
  setTimeout(() => page.call && !page.orphan && !signalling.ready && trouble(text), BRIEFLY);
}

function refused(code) {
  const inCall = page.call !== null;
  leave();
  letGo();
  if (page.state !== "ended") become(inCall ? "ended" : "idle", inCall ? words.STOPPED : words.IDLE);
  trouble(words.REFUSED[code]);
}

const CLICKS = { start: () => start(), next, stop };
for (const [id, act] of Object.entries(CLICKS)) at(id).addEventListener("click", act);
at("hear").addEventListener("click", async () => (at("hear").hidden = await play(at("sound").srcObject)));
addEventListener("pagehide", () => {
  if (page.orphan) page.partner?.bye("left"); // the server would not say it
  const seat = page.call && !page.orphan ? signalling.seat : null;
  if (seat && keepSeat({ ...seat, call: page.call.id, muted: voice.mute.muted })) signalling.leave();
  else signalling.close();
});
addEventListener("pageshow", (event) => event.persisted && location.reload()); // its call is gone
mediaKey("hangup", () => page.call && stop());
mediaKey("nexttrack", () => page.call && next());
setUpWishes(wishesChanged);
setUpWaiting({
  widen: () => chooseAny(wishesChanged),
  reunite: (agree) => signalling.send({ type: "reunite", agree }),
});
setUpAttention();
setUpCallBack(callBack);
setUpInvite({ start: () => start(), follow, drop: meetAnybody }).then(invited);
setUpGuard({ report, block });
setUpLeaving(() => page.state === "talking" || page.state === "connecting");
setUpSafety();
setUpComposer(share, () => page.state === "talking" && share.open, () => page.partner?.typing());
become("idle", words.IDLE); // until here, the buttons of the page are disabled
comeBack(takeSeat());
