// What arrives of a partner's voice: packets, and the reports that a browser sends even when it sends no voice.

const LOOK = 400; // ms between two looks
const MISSES = 2; // looks without a packet: a voice has fifty a second, also when nobody speaks
const UNHEARD = 5000; // ms after which a connection that has brought nothing at all is as bad as one that went silent
const REPORTS = ["remote-inbound-rtp", "remote-outbound-rtp"]; // RFC 3550 §6.4; stamped with the time of their arrival

export class Pulse {
  #timer = 0;
  #packets = 0;
  #report = 0;
  #begunAt = 0;
  #soundAt = 0;
  #misses = 0;
  #reported = false; // since the last packet

  // `look` is called after each look, with the statistics.
  constructor(connection, look) {
    this.connection = connection;
    this.look = look;
    this.#timer = setInterval(() => this.#take(), LOOK);
  }

  // The connection stands: from now on a voice is awaited.
  begin() {
    this.#begunAt = performance.now();
  }

  // Another one carries the voice from now on.
  follow(connection) {
    this.connection = connection;
    this.#packets = this.#report = 0;
  }

  stop() {
    clearInterval(this.#timer);
    this.look = () => {};
  }

  // "never" heard yet, "heard", "silent", or "quiet": the path is there, but the partner's browser sends no voice.
  get state() {
    if (!this.#soundAt && !this.#isOverdue) return "never";
    if (this.#misses < MISSES) return "heard";
    return this.#reported ? "quiet" : "silent";
  }

  get silentFor() {
    return performance.now() - (this.#soundAt || this.#begunAt);
  }

  get #isOverdue() {
    return this.#begunAt > 0 && performance.now() - this.#begunAt > UNHEARD;
  }

  async #take() {
    const asked = this.connection;
    const stats = await asked.getStats().catch(() => new Map()); // it may be closed
    if (asked !== this.connection) return;
    const of = (...types) => [...stats.values()].filter((one) => types.includes(one.type) && one.kind === "audio");
    const packets = of("inbound-rtp").reduce((sum, one) => sum + (one.packetsReceived ?? 0), 0);
    const report = Math.max(0, ...of(...REPORTS).map((one) => one.timestamp));
    if (packets > this.#packets) [this.#soundAt, this.#misses, this.#reported] = [performance.now(), 0, false];
    else this.#misses += 1;
    if (report > this.#report && this.#misses >= MISSES) this.#reported = true;
    [this.#packets, this.#report] = [packets, report];
    this.look(stats);
  }
}
