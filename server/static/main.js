// The states of the page (idle, waiting, connecting, talking, ended), and what the person and the server change in them.

import { keepAwake } from "./awake.js";
import { Call } from "./call.js";
import { closeComposer, setUpComposer } from "./composer.js";
import { setUpGuard, showGuard } from "./guard.js";
import { Meters } from "./meter.js";
import { closeMicrophone, mute, openMicrophone } from "./microphone.js";
import { relayForced, token } from "./settings.js";
import { Share } from "./share.js";
import { Signalling } from "./signalling.js";
import { at, play, say, showFacts, showLevel, showMute, showState, trouble } from "./view.js";
import { setUpWishes, wishes } from "./wishes.js";
import * as words from "./words.js";

const LINGER = 60_000; // ms after a call in which it can be reported; then the page forgets it
const ICE_PATIENCE = 3000; // ms to wait for new credentials; then the old ones are used

const page = { state: "idle", call: null, last: null, stream: null, muted: false, since: 0, path: null, orphan: false };
const signalling = new Signalling(token(), { message: receive, chunk: (bytes) => share.chunk(bytes), ready, away, refused });
const share = new Share((message) => signalling.send(message), (bytes) => signalling.sendChunk(bytes));
const meters = new Meters(showLevel);
let lingering = 0;
let clock = 0;
let takeIce = () => {};

function become(state, text) {
  page.state = state;
  const talking = state === "talking";
  showGuard({ block: talking, report: talking || page.last !== null });
  showState(state);
  say(text);
  keepAwake(state === "connecting" || state === "talking");
}

// What a person does

async function start() {
  if (page.state !== "idle" && page.state !== "ended") return;
  clearTimeout(lingering);
  page.last = null;
  share.forget();
  trouble();
  become("waiting", words.ASKING);
  try {
    page.stream = await openMicrophone();
  } catch (error) {
    return noMicrophone(error.name);
  }
  meters.listen("you", page.stream);
  page.stream.getAudioTracks()[0].onended = () => trouble(words.MICROPHONE.NotFoundError);
  mute(page.muted);
  queue("start");
}

function noMicrophone(name) {
  if (name === "stale") return;
  letGo();
  become("idle", words.IDLE);
  trouble(words.MICROPHONE[name] ?? words.MICROPHONE.other);
}

// The server's `waiting` says when we are in the queue.
function queue(type) {
  say(words.REACHING);
  if (signalling.wanted) signalling.send({ type, ...wishes() });
  else signalling.open(); // ready() goes on
}

function next() {
  if (page.state === "ended") return start();
  if (page.state === "waiting") return;
  const type = page.orphan ? "start" : "next";
  leave();
  page.last = null;
  share.forget();
  trouble();
  become("waiting", words.REACHING);
  queue(type);
}

function stop() {
  trouble();
  if (page.state === "waiting") {
    letGo();
    return become("idle", words.IDLE);
  }
  signalling.send({ type: "stop" });
  leave();
  share.forget();
  hush();
  end(words.STOPPED);
}

function toggleMute() {
  page.muted = !page.muted;
  mute(page.muted);
  showMute(page.muted);
}

function report(reason) {
  signalling.send({ type: "report", call: page.call?.id ?? page.last, reason });
}

function block() {
  signalling.send({ type: "block", call: page.call.id });
}

function wishesChanged() {
  if (page.state === "waiting" && signalling.ready) signalling.send({ type: "next", ...wishes() });
}

// How a call begins and ends

function begin(matched) {
  share.begin(matched.call);
  page.orphan = false;
  page.path = null;
  showFacts({ seconds: 0, path: null, from: matched.country });
  const on = { remote: hear, connected, shaky: () => say(words.SHAKY), lost };
  const relay = matched.relay || relayForced;
  page.call = new Call(matched, page.stream, { relay, send: (message) => signalling.send(message), fresh: freshIce, on });
  become("connecting", words.CONNECTING);
}

async function hear(stream) {
  meters.listen("partner", stream);
  at("hear").hidden = await play(stream);
}

function connected() {
  if (page.state === "talking") return say(words.TALKING);
  page.since = Date.now();
  clock = setInterval(look, 1000);
  become("talking", words.TALKING);
  look();
}

async function look() {
  const call = page.call;
  const path = await call.path();
  if (call !== page.call) return;
  if (path && !page.path) signalling.send({ type: "connected", call: call.id, path });
  page.path = path ?? page.path;
  showFacts({ seconds: (Date.now() - page.since) / 1000, path: page.path });
}

function lost(why) {
  signalling.send({ type: "stop" });
  leave();
  end(words.STOPPED);
  trouble(words.LOST[why]);
}

function leave() {
  if (!page.call) return;
  page.call.close();
  page.last = page.orphan ? null : page.call.id;
  page.call = null;
  page.orphan = false;
  clearInterval(clock);
  meters.silence("partner");
  play(null);
  at("hear").hidden = true;
  share.end();
}

function end(text) {
  become("ended", text);
  clearTimeout(lingering);
  lingering = setTimeout(() => {
    letGo();
    become("ended", at("status").textContent);
  }, LINGER);
}

function hush() {
  closeMicrophone();
  meters.close();
  page.stream = null;
  page.muted = false;
  showMute(false);
}

function letGo() {
  clearTimeout(lingering);
  hush();
  signalling.close();
  page.last = null;
}

function freshIce() {
  return new Promise((done) => {
    takeIce = done;
    setTimeout(() => done(null), ICE_PATIENCE);
    signalling.send({ type: "ice" });
  });
}

// What the server says

const ours = (take) => (message) => message.call === page.call?.id && take(message);
const media = ours((message) => page.call.receive(message));
const shared = ours((message) => share.receive(message));

const TAKE = {
  waiting: requeued,
  matched: (message) => page.state === "waiting" && page.stream && begin(message),
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
    become("waiting", words.WAITING);
  } else if (at("status").textContent !== words.ENDED.vanished) say(words.WAITING);
}

// This is about the partner's connection to the server; the voice may go on.
function partner({ state }) {
  if (page.state !== "talking") return;
  if (state === "away") say(words.PARTNER_AWAY);
  else say(page.call.connected ? words.TALKING : words.SHAKY);
}

function ended({ reason }) {
  leave();
  trouble();
  if (reason === "vanished") become("waiting", words.ENDED.vanished);
  else end(words.ENDED[reason] ?? words.STOPPED);
}

function failed({ code, id }) {
  const text = share.refused(id) || code in words.ERRORS ? (words.ERRORS[code] ?? words.ERRORS.internal) : "";
  if (code === "bad_picture") share.pictureRefused();
  if (code === "bad_sdp" && page.call) lost("unreachable");
  if (text) trouble(text);
}

function ready(hello) {
  if (page.state === "waiting" && hello.state === "waiting") say(words.WAITING);
  else if (page.state === "waiting" && hello.state !== "calling") queue("start");
  if (!page.call) return;
  trouble();
  if (hello.resumed) return page.call.recover();
  if (page.call.connected) return adrift();
  leave();
  become("waiting", words.REACHING);
  queue("start");
}

// The server has forgotten the call (it was restarted), but voices need no server.
function adrift() {
  page.orphan = true;
  share.end();
  closeComposer();
  showGuard({ block: false, report: false });
  trouble(words.ALONE);
}

function away(code, seconds) {
  const text = `${words.AWAY[code] ?? words.GONE} ${words.retry(seconds)}`;
  if (page.state === "waiting") say(text);
  else if (page.call && !page.orphan) trouble(text);
}

function refused(code) {
  const inCall = page.call !== null;
  leave();
  letGo();
  if (page.state !== "ended") become(inCall ? "ended" : "idle", inCall ? words.STOPPED : words.IDLE);
  trouble(words.REFUSED[code]);
}

const CLICKS = { start, next, stop, mute: toggleMute };
for (const [id, act] of Object.entries(CLICKS)) at(id).addEventListener("click", act);
at("hear").addEventListener("click", async () => (at("hear").hidden = await play(at("sound").srcObject)));
addEventListener("pagehide", () => signalling.close());
addEventListener("pageshow", (event) => event.persisted && location.reload()); // its call is gone
setUpWishes(wishesChanged);
setUpGuard({ report, block });
setUpComposer(share, () => page.state === "talking" && !page.orphan);
