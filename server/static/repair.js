// Gets the voice of a call back: ICE restarts (RFC 8445 §9), or new connections, until packets arrive again.

const PATIENCE = 1200; // ms that the side which is not the first to restart waits for the other one
const AGAIN = [1000, 2000, 4000, 8000]; // ms from one attempt to the next; the last one repeats, and is enough for slow TCP
const SETTLE = 150; // ms after the signalling came back: what the partner has said meanwhile comes first
const STALE = 5000; // ms in which candidates from before the call must lead to a path: their relay may be gone
const ANEW = 2; // restarts after which a connection that stands, but carries nothing, gives way to a new one
const GIVE_UP = 60_000; // ms of silence: as long as the server keeps a seat

export class Repair {
  #attempts = 0;
  #busy = false;
  #next = Infinity;
  #timer = 0;

  #since = performance.now();

  // `call` has pc, pulse, fresh(), restart(ice), early, wasConnected, dead, and isFirst: whether this side restarts before the other.
  constructor(call) {
    this.call = call;
  }

  // Called again and again. Returns whether it is of no use any more.
  look() {
    if (this.#needed) this.#work();
    else this.#rest();
    return this.call.pulse.state === "silent" && this.call.pulse.silentFor > GIVE_UP;
  }

  // Sound decides, not a state: a connection can seem to be there long after its path is gone.
  get #needed() {
    const { pc, pulse } = this.call;
    return pulse.state === "silent" || (pulse.state !== "heard" && (pc.connectionState === "failed" || this.#stale));
  }

  get #stale() {
    return this.call.early && !this.call.wasConnected && performance.now() - this.#since > STALE;
  }

  // Both descriptions of an attempt are known: it may take its time.
  negotiated() {
    this.#next = performance.now() + this.#pause;
  }

  // The signalling is there again: until then, nothing could be negotiated. The next look may be too late: the side that is
  // the first to restart is waited for only so long.
  hurry() {
    this.#next = Math.min(this.#next, performance.now() + SETTLE);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), SETTLE);
  }

  // The call is over.
  end() {
    clearTimeout(this.#timer);
  }

  get #pause() {
    return AGAIN[Math.min(this.#attempts, AGAIN.length) - 1] ?? AGAIN[0];
  }

  #rest() {
    this.#attempts = 0;
    this.#next = Infinity;
  }

  #work() {
    const now = performance.now();
    if (this.#next === Infinity) this.#next = now + (this.call.isFirst || this.call.dead ? 0 : PATIENCE);
    if (now >= this.#next && !this.#busy) this.#attempt();
  }

  // The partner may begin, or the voice may come back, while new credentials are on their way.
  async #attempt() {
    this.#busy = true;
    const planned = (this.#next = performance.now() + this.#pause);
    const ice = await this.call.fresh();
    this.#busy = false;
    const { pc } = this.call;
    const settled = planned === this.#next && (this.call.dead || pc.signalingState === "stable");
    if (!ice || !settled || !this.#needed) return;
    this.#attempts += 1;
    this.call.restart(ice, this.#attempts > ANEW && this.call.connected);
    this.negotiated();
  }
}
