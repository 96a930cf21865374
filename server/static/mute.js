// Whether one is heard: by the Mute button, by push to talk, by the keys of a headset. And: "you are muted".

import { sound } from "./settings.js";
import { at } from "./view.js";

const KEY = "KeyT"; // to talk while it is held; where nobody types
const LOUD = 0.5; // of the meter: somebody speaks
const LONG = 8; // looks of the meter in a row that are loud
const TYPING = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";

export class Mute {
  #muted = false;
  #held = false;
  #loud = 0;

  // `on` has heard(yes), whenever it changes, and forgotten(): somebody speaks and is muted.
  constructor(on) {
    this.on = on;
    at("mute").addEventListener("click", () => this.toggle());
    this.#setUpHolding();
    mediaKey("togglemicrophone", () => this.toggle());
  }

  get muted() {
    return this.#muted;
  }

  get heard() {
    return sound.push.read() ? this.#held : !this.#muted;
  }

  toggle() {
    this.#muted = !this.#muted;
    this.show();
  }

  // Each call begins unmuted.
  reset() {
    this.#muted = this.#held = false;
    this.show();
  }

  show() {
    const { heard } = this;
    this.#loud = 0;
    at("mute").setAttribute("aria-pressed", String(this.#muted));
    at("mute").hidden = sound.push.read();
    at("hold").hidden = !sound.push.read();
    at("voice-you").toggleAttribute("data-muted", !heard);
    attempt(() => navigator.mediaSession?.setMicrophoneActive?.(heard));
    this.on.heard(heard);
  }

  // How loud one is; returns what the meter shows of it.
  level(value) {
    if (this.heard) return value;
    this.#loud = value > LOUD ? this.#loud + 1 : 0;
    if (this.#loud === LONG) this.on.forgotten();
    return 0;
  }

  #setUpHolding() {
    const hold = (held) => {
      if (this.#held === held || !sound.push.read()) return;
      this.#held = held;
      this.show();
    };
    const talks = (event) => event.code === KEY && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest?.(TYPING);
    const presses = (event) => event.code === "Space" || event.code === "Enter";
    addEventListener("keydown", (event) => talks(event) && hold(true));
    addEventListener("keyup", (event) => event.code === KEY && hold(false));
    addEventListener("blur", () => hold(false));
    at("hold").addEventListener("pointerdown", () => hold(true));
    for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => hold(false));
    at("hold").addEventListener("keydown", (event) => presses(event) && hold(true));
    at("hold").addEventListener("keyup", (event) => presses(event) && hold(false));
    at("hold").addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch opens a menu otherwise
  }
}

// The keys of a keyboard, a headset or a car: "hangup", "togglemicrophone", "nexttrack".
export function mediaKey(name, act) {
  attempt(() => navigator.mediaSession?.setActionHandler(name, act));
}

// A browser that does not know an action throws.
function attempt(work) {
  try {
    work();
  } catch {
    // then there is no such key
  }
}
