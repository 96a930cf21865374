// How long to wait before the next attempt to connect, after which close code.

const FIRST_TRY = { 1011: 2, 1013: 2 }; // the server is in trouble: begin with a longer wait
const LONG = { 4429: 30 };
const LADDER = [0, 0.3, 1.2, 2.7, 4.8, 7]; // seconds; the last one repeats
const HASTY = 1; // seconds at most, while a call is silent
const JITTER = 1; // after a restart, all pages connect within a second, not at once
const STABLE = 10_000; // ms that a connection must last before the waits begin at 0 again

export class Pauses {
  #tries = 0;
  #openedAt = 0;

  begin() {
    this.#tries = this.#openedAt = 0;
  }

  opened() {
    this.#openedAt = performance.now();
  }

  // Seconds.
  next(code, hasty) {
    if (this.#openedAt && performance.now() - this.#openedAt > STABLE) this.#tries = 0;
    this.#openedAt = 0;
    const step = Math.max(this.#tries, FIRST_TRY[code] ?? 0);
    this.#tries = step + 1;
    if (LONG[code]) return LONG[code];
    const seconds = LADDER[Math.min(step, LADDER.length - 1)] + (step ? Math.random() * JITTER : 0);
    return hasty ? Math.min(HASTY, seconds) : seconds;
  }
}
