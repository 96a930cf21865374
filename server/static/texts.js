// The lines that one writes: each is on its way, delivered, or not sent and can be sent again.

import { addText, mark } from "./log.js";
import { Pace } from "./pace.js";
import { trouble } from "./view.js";
import { ERRORS, LINE_NOT_SENT } from "./words.js";

const PACE = [5, 10]; // a second, and at once: as the server and the partner's page take them
const UNDERWAY = 10; // lines without an answer; after a break they must not all arrive at once
const WAITING = 10; // lines that wait for their turn
const LOOK = 200; // ms until those are looked at again

export class Texts {
  #waiting = [];
  #underway = new Map(); // id -> line
  #pace = new Pace(...PACE);
  #count = 0;
  #timer = 0;

  // `link` has via, ready(), say(id, text) and perhaps `patience`, the ms after which a line counts as lost.
  constructor(link) {
    this.link = link;
  }

  say(text) {
    const line = { text, entry: addText("you", text, this.link.via), timer: 0 };
    if (this.#waiting.length >= WAITING) return this.#fail(line, ERRORS.too_fast);
    mark(line.entry, "sending");
    this.#waiting.push(line);
    this.pump();
  }

  // There is a new way, and what was on the old one may be lost: the partner takes each number once.
  repeat() {
    for (const [id, line] of this.#underway) this.link.say(id, line.text);
    this.pump();
  }

  // Says what may be said now.
  pump() {
    clearTimeout(this.#timer);
    while (this.#waiting.length && this.#mayGo()) this.#go(this.#waiting.shift());
    if (this.#waiting.length) this.#timer = setTimeout(() => this.pump(), LOOK);
  }

  delivered(id) {
    const line = this.#take(id);
    if (line) mark(line.entry, this.link.via === "server" ? "sent" : "delivered");
    this.pump();
  }

  // Returns whether there is such a line.
  refused(id, why) {
    const line = this.#take(id);
    if (line) this.#fail(line, why);
    return Boolean(line);
  }

  // The call is over: what has not arrived will not.
  end() {
    clearTimeout(this.#timer);
    for (const line of [...this.#underway.values(), ...this.#waiting]) {
      clearTimeout(line.timer);
      mark(line.entry, "lost");
    }
    this.#underway.clear();
    this.#waiting = [];
  }

  #mayGo() {
    return this.link.ready() && this.#underway.size < UNDERWAY && this.#pace.take();
  }

  #go(line) {
    const id = ++this.#count;
    this.#underway.set(id, line);
    if (this.link.patience) line.timer = setTimeout(() => this.refused(id), this.link.patience);
    this.link.say(id, line.text);
  }

  #take(id) {
    const line = this.#underway.get(id);
    this.#underway.delete(id);
    clearTimeout(line?.timer);
    return line;
  }

  #fail(line, why = LINE_NOT_SENT) {
    mark(line.entry, "lost", () => this.say(line.text));
    trouble(why);
  }
}
