// The form for a line of text and a picture.

import { setUpChoosing } from "./choosing.js";
import { setUpLines } from "./lines.js";
import { at } from "./view.js";

// `open`: whether there is a partner to read it; `typing` is called while one writes, `sent` with each line.
export function setUpComposer(share, open, { typing, sent }) {
  at("message").addEventListener("input", () => open() && typing());
  at("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = at("message").value;
    if (!text.trim() || !open()) return;
    share.say(text);
    sent();
    at("message").value = "";
  });
  at("picture").addEventListener("click", () => at("file").click());
  at("cancel").addEventListener("click", () => share.cancel());
  setUpLines();
  setUpChoosing(open, (picture) => share.show(picture));
}

export function closeComposer() {
  for (const id of ["message", "send", "picture"]) at(id).disabled = true;
}
