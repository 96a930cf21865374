// How the server is asked for a partner.

import { ahead } from "./ahead.js";
import { lastCall } from "./callback.js";
import { linked } from "./invite.js";
import { page, signalling, voice } from "./page.js";
import { relayForced } from "./settings.js";
import { say } from "./view.js";
import { wishes } from "./wishes.js";
import { INVITE, REACHING, WAITING } from "./words.js";

// The server's `waiting` says when we are in the queue.
export function queue(how = page.wanted) {
  page.wanted = how;
  say(REACHING);
  if (signalling.wanted) signalling.send(request()); // or it is sent once the socket is there
  else signalling.open();
}

function request() {
  if (page.wanted === "call-back" && lastCall()) return { type: "call-back", call: lastCall() };
  return { type: page.wanted === "next" ? "next" : "start", ...wishes(), ...linked() };
}

export function wishesChanged() {
  if (page.state === "waiting" && signalling.ready) signalling.send({ type: "next", ...wishes(), ...linked() });
}

// Somebody may come at any moment.
export function makeReady() {
  if (voice.stream) ahead.wait(voice.stream, wishes().hide_address || relayForced);
}

export function waitingText() {
  return linked().link ? INVITE.waiting : WAITING;
}
