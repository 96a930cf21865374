// How long the server may take to answer: a socket on which nothing comes in that time is dead.

const GREETING = { calm: 8000, hasty: 2500 }; // ms from the beginning of a connection to its greeting
const ANSWER = { calm: 4000, hasty: 750 }; // ms for the answer to a question; or three times what the last one took
const SLOW = 2000; // ms: an answer that took longer says nothing about the next one
const MANY = 16 * 1024; // bytes: fewer that wait are no picture, and a browser passes them on, dead or not

export class Patience {
  hasty = false; // while nobody hears anything, a dead socket must be found quickly
  #judge = 0;
  #socket = null;
  #askedAt = 0;
  #unsent = 0; // bytes that were not sent yet when the question was asked
  #roundTrip = 0;

  // `over` is called where no answer has come.
  constructor(over) {
    this.over = over;
  }

  // Whether a question has no answer yet.
  get waits() {
    return this.#judge !== 0;
  }

  // A socket was made, and its greeting must come.
  greeting(socket) {
    this.#socket = socket;
    this.#judge = setTimeout(() => this.#unanswered(0), GREETING[this.#pace]);
  }

  asked() {
    if (!this.waits) this.#wait(Math.max(ANSWER[this.#pace], 3 * this.#roundTrip));
  }

  // `timed`: the answer tells how long the way takes.
  answered(timed) {
    this.rest();
    if (timed) this.#roundTrip = Math.min(SLOW, performance.now() - this.#askedAt);
  }

  rest() {
    clearTimeout(this.#judge);
    this.#judge = 0;
  }

  get #pace() {
    return this.hasty ? "hasty" : "calm";
  }

  #wait(patience) {
    this.#askedAt = performance.now();
    this.#unsent = this.#socket.bufferedAmount;
    this.#judge = setTimeout(() => this.#unanswered(patience), patience);
  }

  // A slow line that is still busy with a picture is not dead.
  #unanswered(patience) {
    this.#judge = 0;
    if (this.#unsent > MANY && this.#socket.bufferedAmount < this.#unsent) return this.#wait(patience);
    this.over();
  }
}
