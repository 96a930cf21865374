// How a call ends: by this page, by the partner, by the server, or because the way between the two broke.

import { ahead } from "./ahead.js";
import { forgetCallBack, offerCallBack } from "./callback.js";
import { become, meters, page, share, signalling, voice } from "./page.js";
import { at, offerCheck, play, trouble } from "./view.js";
import * as words from "./words.js";

const LINGER = 60_000; // ms after a call in which it can be reported; then the page forgets it
const ECHO = 2000; // ms in which the server says, too, that the partner has left
const CALL_BACK_AFTER = new Set(["left", "next", "vanished", "unreachable", "relay", "broken", "unable"]);

let lingering = 0;

// The call's own parts; the microphone, the visit and the conversation stay.
export function leave() {
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

export function end(text) {
  ahead.close();
  voice.close();
  become("ended", text);
  clearTimeout(lingering);
  lingering = setTimeout(() => {
    letGo();
    become("ended", at("status").textContent);
  }, LINGER);
}

// The visit ends, too.
export function letGo() {
  clearTimeout(lingering);
  ahead.close();
  voice.close();
  signalling.close();
  page.last = page.seat = null;
  page.again = false;
  forgetCallBack();
}

// What belonged to the call before makes room for the next one.
export function forgetLast() {
  clearTimeout(lingering);
  page.last = null;
  share.forget();
  trouble();
}

// The visit is over before or without a call; `why` tells what went wrong.
export function goIdle(why) {
  letGo();
  become("idle", words.IDLE);
  if (why) trouble(why);
}

// This page gives the call up.
export function lost(why) {
  page.partner?.bye(why);
  signalling.send({ type: "stop", reason: why === "odd" ? undefined : why }); // that word is for this page alone
  leave();
  if (!CALL_BACK_AFTER.has(why)) forgetCallBack();
  end(words.STOPPED);
  trouble(words.LOST[why]);
  offerCheck(why);
}

// The partner's page says good-bye. The server says so, too, if it can; then its word is waited for.
export function parted(reason) {
  const call = page.call;
  const go = () => {
    if (call !== page.call) return;
    signalling.send({ type: "stop" });
    ended({ reason });
  };
  if (page.orphan || !signalling.ready) go();
  else setTimeout(go, ECHO);
}

// The server's `ended`, or the partner's good-bye in its place.
export function ended({ reason }) {
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
