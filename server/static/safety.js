// The exchange before a safety code: each side commits to a nonce, and says it only when the other has committed, too.
// Whatever comes late, twice, too early or wrong ends it without a code.

import { codeOf, commitment, hex } from "./safety_code.js";

const PATIENCE = 30_000; // ms for the whole exchange
const NONCE = 32; // bytes

export class Safety {
  #chain = Promise.resolve();
  #nonce = hex(crypto.getRandomValues(new Uint8Array(NONCE)));
  #commitment = null;
  #revealed = null;
  #over = false;
  #done = false;
  #timer = 0;
  #begun = false;

  // `first`: whether this side made the first offer. `keys()` returns { own, partner } as the descriptions name them.
  // `show` gets the code, or null where there is none and will be none.
  constructor({ first, keys, send, show }) {
    Object.assign(this, { keys, send, show });
    this.parts = first ? ["first", "second"] : ["second", "first"]; // ours, the partner's
  }

  // The second time it does nothing: the keys of a call stay.
  begin() {
    if (this.#begun) return;
    this.#begun = true;
    this.#timer = setTimeout(() => this.fail(), PATIENCE);
    this.#next(async () => this.send({ type: "safety-commit", hash: await commitment(this.parts[0], this.#nonce) }));
  }

  // The partner's `safety-commit` or `safety-reveal`; one after the other, in the order of their arrival.
  receive(message) {
    this.#next(() => (message.type === "safety-commit" ? this.#committed(message.hash) : this.#reveals(message.nonce)));
  }

  fail() {
    this.end();
    this.show(null);
  }

  // The channel is gone: what has been shown stays true, but nothing comes any more.
  interrupt() {
    if (!this.#done && !this.#over) this.fail();
  }

  end() {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #next(step) {
    this.#chain = this.#chain.then(() => this.#over || step()).catch(() => this.fail());
  }

  #committed(hash) {
    if (this.#commitment) throw new Error("repeated");
    this.#commitment = hash;
    this.send({ type: "safety-reveal", nonce: this.#nonce });
  }

  async #reveals(nonce) {
    if (!this.#commitment || this.#revealed) throw new Error("out of turn");
    this.#revealed = nonce;
    if ((await commitment(this.parts[1], nonce)) !== this.#commitment) throw new Error("wrong");
    const { own, partner } = this.keys();
    if (!own || !partner) throw new Error("no keys");
    const [ours, theirs] = [{ keys: own, nonce: this.#nonce }, { keys: partner, nonce }];
    const code = this.parts[0] === "first" ? await codeOf(ours, theirs) : await codeOf(theirs, ours);
    if (this.#over) return;
    clearTimeout(this.#timer);
    this.#done = true;
    this.show(code);
  }
}
