// Gets the voice of a call back: ICE restarts (RFC 8445 §9), until packets arrive again.

const PATIENCE = 1200; // ms that the side which is not the first to restart waits for the other one
const AGAIN = [1000, 2000, 4000]; // ms from one attempt to the next; the last one repeats
const SETTLE = 150; // ms after the signalling came back: what the partner has said meanwhile comes first
const GIVE_UP = 60_000; // ms of silence: as long as the server keeps a seat

export class Repair {
  #attempts = 0;
  #busy = false;
  #next = Infinity;

  // `call` has pc, pulse, fresh() and isFirst: whether this side restarts before the other one.
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
    return pulse.state === "silent" || (pulse.state === "never" && pc.connectionState === "failed");
  }

  // Both descriptions of an attempt are known: it may take its time.
  negotiated() {
    this.#next = performance.now() + this.#pause;
  }

  // The signalling is there again: until then, nothing could be negotiated.
  hurry() {
    this.#next = Math.min(this.#next, performance.now() + SETTLE);
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
    if (this.#next === Infinity) this.#next = now + (this.call.isFirst ? 0 : PATIENCE);
    if (now >= this.#next && !this.#busy) this.#attempt();
  }

  // The partner may begin, or the voice may come back, while new credentials are on their way.
  async #attempt() {
    this.#busy = true;
    const planned = (this.#next = performance.now() + this.#pause);
    const ice = await this.call.fresh();
    this.#busy = false;
    const { pc } = this.call;
    const settled = planned === this.#next && pc.signalingState === "stable";
    if (!ice || !settled || !this.#needed) return;
    this.#attempts += 1;
    pc.setConfiguration({ ...pc.getConfiguration(), iceServers: ice.iceServers });
    pc.restartIce();
    this.negotiated();
  }
}
