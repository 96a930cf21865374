// The form of wishes: countries (several or any) and the address switch, remembered in this browser.

import { hide, relayForced, wish } from "./settings.js";
import { at } from "./view.js";
import { ANY_COUNTRY } from "./words.js";

const boxes = () => [...document.querySelectorAll("#countries input[type=checkbox]")];

// Calls `changed` after each change.
export function setUpWishes(changed) {
  setUpHide(changed);
  if (at("countries")) setUpCountries(changed);
}

function setUpHide(changed) {
  at("hide").checked = relayForced || hide.read();
  at("hide").disabled = relayForced;
  at("hide").addEventListener("change", () => {
    hide.write(at("hide").checked);
    changed();
  });
}

function setUpCountries(changed) {
  const before = new Set(wish.read());
  for (const box of boxes()) box.checked = before.has(box.value);
  showChosen();
  at("countries").addEventListener("change", (event) => event.target.type === "checkbox" && choose(changed));
  at("find").addEventListener("input", filter);
  at("any").addEventListener("click", () => chooseAny(changed));
}

export function chooseAny(changed) {
  for (const box of boxes()) box.checked = false;
  choose(changed);
}

function choose(changed) {
  wish.write(boxes().filter((box) => box.checked).map((box) => box.value));
  showChosen();
  changed();
}

function showChosen() {
  const names = boxes().filter((box) => box.checked).map((box) => box.parentElement.textContent.trim());
  at("chosen").textContent = names.length ? names.join(", ") : ANY_COUNTRY;
}

function filter() {
  const sought = at("find").value.trim().toLowerCase();
  for (const box of boxes()) box.parentElement.hidden = !box.parentElement.textContent.toLowerCase().includes(sought);
}

// What `start` and `next` tell the server.
export function wishes() {
  const want = boxes().filter((box) => box.checked).map((box) => box.value);
  return { want, hide_address: at("hide").checked };
}
