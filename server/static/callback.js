// Call back: for a minute after a call, one can ask for the same partner again.

import { at } from "./view.js";
import { CALL_BACK } from "./words.js";

const SECONDS = 60; // as long as the server allows it

let call = null; // that can be called back
let timer = 0;
let wanted = false; // whether the page has a place for it
let covered = false; // whether the same person can be met at once
let asked = false; // whether the partner asks

// The call that can be called back; null: none.
export const lastCall = () => call;

export function setUpCallBack(ask) {
  at("callback").addEventListener("click", ask);
}

export function offerCallBack(ended) {
  forgetCallBack();
  if (ended === null) return;
  call = ended;
  timer = setTimeout(forgetCallBack, 1000 * SECONDS);
}

export function forgetCallBack() {
  clearTimeout(timer);
  call = null;
  explain("");
  showCallBack(false);
}

export function showCallBack(yes) {
  wanted = yes;
  show();
}

// "Meet again" stands there, for the same person, and one question is enough.
export function coverCallBack(yes) {
  covered = yes;
  show();
}

// A button that goes away must not take the keyboard focus with it.
function show() {
  const focused = document.activeElement === at("callback");
  at("after").hidden = !wanted || call === null || (covered && !asked);
  if (focused && at("after").hidden) ["reunite", "next", "stop"].map(at).find((button) => !button.disabled && !button.hidden)?.focus();
}

// The partner of that call asks for us; false: it is about another call.
export function wantedBack(message) {
  if (message.call !== call) return false;
  explain(CALL_BACK.wanted);
  show();
  return true;
}

function explain(text) {
  asked = text !== "";
  at("after-why").textContent = text;
  at("callback").classList.toggle("main", asked);
}
