// While two talk: whether the voice comes through, how long it has been, and by which path.

import { Quality } from "./quality.js";
import { say, showFacts, showQuality } from "./view.js";
import * as words from "./words.js";

const SECOND = 1000;
const VOICES = { heard: words.TALKING, never: words.SOON, quiet: words.QUIET, silent: words.SHAKY };
const PARTNERS = { away: words.PARTNER_AWAY, loading: words.PARTNER_LOADING };

export class Talk {
  #clock = 0;
  #since = performance.now(); // the clock on the wall may be set meanwhile
  #path = null;
  #partner = "back";
  #voice = "never";
  #said = "";
  #quality = new Quality(showQuality);

  // `on` has path(path) once it is known, and silent(yes) as often as the voice is looked for.
  constructor(call, on) {
    this.call = call;
    this.on = on;
    this.#clock = setInterval(() => this.#look(), SECOND);
    this.#look();
  }

  end() {
    showQuality();
    clearInterval(this.#clock);
    this.call = null;
  }

  // What arrives of the voice: a state of the pulse, and the statistics.
  voice(state, stats) {
    this.#voice = state;
    if (state === "heard") this.#quality.take(stats);
    this.on.silent(state === "silent");
    this.#speak();
  }

  // The partner's connection to the server is "away" or "back", or its page is "loading". The voice may go on.
  partner(state) {
    this.#partner = state;
    this.#speak();
  }

  get text() {
    const told = this.#voice === "heard" && this.#partner === "away" ? null : PARTNERS[this.#partner];
    return told ?? VOICES[this.#voice];
  }

  // Only when it changes: something else may have been said meanwhile.
  #speak() {
    if (this.text !== this.#said) say((this.#said = this.text));
  }

  async #look() {
    const path = await this.call.path();
    if (!this.call) return;
    if (path && !this.#path) this.on.path(path);
    this.#path = path ?? this.#path;
    showFacts({ seconds: (performance.now() - this.#since) / 1000, path: this.#path });
  }
}
