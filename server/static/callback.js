// Call back: for a minute after a call, one can ask for the same partner again.

import { at } from "./view.js";
import { CALL_BACK } from "./words.js";

const SECONDS = 60; // as long as the server allows it

let call = null; // that can be called back
let timer = 0;

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

// A button that goes away must not take the keyboard focus with it.
export function showCallBack(wanted) {
  const focused = document.activeElement === at("callback");
  at("after").hidden = !wanted || call === null;
  if (focused && at("after").hidden) ["next", "stop"].map(at).find((button) => !button.disabled)?.focus();
}

// The partner of that call asks for us; false: it is about another call.
export function wantedBack(message) {
  if (message.call !== call) return false;
  explain(CALL_BACK.wanted);
  return true;
}

function explain(text) {
  at("after-why").textContent = text;
  at("callback").classList.toggle("main", text !== "");
}
