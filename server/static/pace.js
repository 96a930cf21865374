// A pace that is kept: so many at once, and so many a second.

export class Pace {
  #left;
  #at = performance.now();

  constructor(perSecond, burst) {
    Object.assign(this, { perSecond, burst });
    this.#left = burst;
  }

  // Whether one more may pass now.
  take(cost = 1) {
    const now = performance.now();
    this.#left = Math.min(this.burst, this.#left + ((now - this.#at) / 1000) * this.perSecond);
    this.#at = now;
    if (this.#left < cost) return false;
    this.#left -= cost;
    return true;
  }
}
