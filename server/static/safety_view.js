// The dialog with the safety code: five emoji with their names, four words and ten digits, or that there is no code.

import { at } from "./view.js";
import { SAFETY } from "./words.js";

export function setUpSafety() {
  at("safety").addEventListener("click", () => at("safety-code").showModal());
}

// `code`: { emoji, words, digits }; null: there is none and will be none; undefined: it is being made.
export function showSafety(code) {
  const box = at("safety-code");
  box.dataset.state = code ? "code" : code === null ? "none" : "coming";
  if (code) box.dataset.safetyCode = code.emoji.map(([picture]) => picture).join(" ");
  else delete box.dataset.safetyCode;
  at("safety-says").textContent = SAFETY[box.dataset.state];
  at("safety-emoji").replaceChildren(...(code?.emoji ?? []).map(item));
  at("safety-words").textContent = code?.words.join(" ") ?? "";
  at("safety-digits").textContent = code?.digits.join(" ") ?? "";
  for (const id of ["safety-emoji", "safety-same", "safety-common"]) at(id).hidden = !code;
}

// With the end of a call its code goes, and the dialog with it.
export function closeSafety() {
  at("safety-code").close();
  showSafety(null);
}

function item([picture, name]) {
  const [entry, image, word] = ["li", "span", "span"].map((kind) => document.createElement(kind));
  image.textContent = picture;
  image.className = "emoji";
  image.setAttribute("aria-hidden", "true"); // a screen reader says the name
  word.textContent = name;
  entry.append(image, word);
  return entry;
}
