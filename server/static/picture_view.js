// How a picture is seen: one from a partner only after a tap, and then as large as the screen.

import { at } from "./view.js";
import { PICTURE_BUTTON } from "./words.js";

// The button around an image.
export function framed(image, veiled) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "picture" });
  const words = Object.assign(document.createElement("span"), { className: "veil" });
  button.append(image, words);
  name(button, veiled);
  button.addEventListener("click", () => (button.classList.contains("veiled") ? name(button, false) : enlarge(image)));
  return button;
}

function name(button, veiled) {
  button.classList.toggle("veiled", veiled);
  button.lastChild.classList.toggle("unseen", !veiled);
  button.lastChild.textContent = button.ariaLabel = veiled ? PICTURE_BUTTON.show : PICTURE_BUTTON.enlarge;
}

function enlarge(image) {
  Object.assign(at("large"), { src: image.src, alt: image.alt });
  at("enlarged").showModal();
}

// The conversation is gone, and so is this.
export function putAway() {
  at("enlarged").close();
  at("large").removeAttribute("src");
}
