// The field for a message: Enter sends, Shift and Enter begins a new line, and it grows with what is in it.

import { at } from "./view.js";

const MOST = 160; // pixels; more is scrolled

function fit() {
  const field = at("message");
  field.style.height = "auto";
  field.style.height = `${Math.min(MOST, field.scrollHeight + field.offsetHeight - field.clientHeight)}px`;
}

export function setUpLines() {
  at("message").addEventListener("input", fit);
  at("message").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // composing: it ends a Chinese word, say
    event.preventDefault();
    at("composer").requestSubmit();
  });
  at("composer").addEventListener("submit", () => queueMicrotask(fit)); // after it has been emptied
}
