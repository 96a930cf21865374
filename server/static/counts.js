// What was said and is not confirmed, and how much was heard: what a dead socket swallowed is said again in the next one.

const LIMIT = 200; // messages without the server's word: an offer, its candidates, a few lines of text
const ASK_AFTER = 16; // of them, ask for that word
const LASTING = new Set(["text", "report", "block", "stop", "next"]);

export class Counts {
  #unheard = []; // as JSON
  #confirmed = 0; // how many of our messages the server has for certain

  constructor() {
    this.heard = 0; // how many of the server's messages have arrived
  }

  // A new visit: both sides begin at 0.
  begin() {
    this.#unheard = [];
    this.#confirmed = this.heard = 0;
  }

  // A new visit in the same call: both sides begin at 0. What the server of before may have heard is said again where that does
  // no harm: what belongs to the connection of the two is negotiated anew.
  beginAgain() {
    const unheard = this.#unheard.filter((text) => LASTING.has(JSON.parse(text).type));
    this.begin();
    this.#unheard = unheard;
  }

  get unheard() {
    return [...this.#unheard];
  }

  // The message as JSON, or null where there are too many already.
  say(message) {
    if (this.#unheard.length >= LIMIT) return null;
    const text = JSON.stringify(message);
    this.#unheard.push(text);
    return text;
  }

  get enough() {
    return this.#unheard.length % ASK_AFTER === 0;
  }

  confirm(heard) {
    this.#unheard.splice(0, Math.max(0, heard - this.#confirmed));
    this.#confirmed = heard;
  }
}
