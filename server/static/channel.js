// The data channel between the two browsers, in the call's own connection. What comes in is counted and read strictly.

import { CHANNEL, PACES, readMessage } from "./channel_messages.js";
import { Pace } from "./pace.js";

const STREAM = 0; // both pages name it, so that nothing has to be negotiated (W3C webrtc §6.2, `negotiated`)
const UNIT = 4096; // bytes that count like one small message
const MOST = [2000, 6000]; // units a second, and at once
const GONE = 8; // looks at a voice that comes through without the channel: then it will not come back
const PATIENCE = 1000; // messages that are too many or no messages; then the channel is closed

// Null in a browser that has none.
export function linkOn(pc) {
  return pc.createDataChannel?.(CHANNEL, { negotiated: true, id: STREAM }) ?? null;
}

export class Channel {
  #link = null;
  #pace = new Pace(...MOST);
  #paces = new Map(Object.entries(PACES).map(([type, pace]) => [type, new Pace(...pace)]));
  #refused = 0;
  #missed = 0;

  // `on` has opened(), closed(), message(m), chunk(buffer).
  constructor(on) {
    this.on = on;
    this.over = false;
  }

  // Adds the channel to a connection, or takes the one that it has; the second time it does nothing.
  join(pc, link = null) {
    if (this.#link || this.over) return;
    link = this.#link = link ?? linkOn(pc);
    link.binaryType = "arraybuffer";
    link.onopen = () => this.on.opened();
    link.onmessage = ({ data }) => this.#receive(data);
  }

  // Its connection is over.
  leave() {
    if (this.#link) this.#link.onopen = this.#link.onmessage = null;
    this.#link = null;
  }

  // Called again and again. One that is closed may come back with another connection, but not while the voice comes through.
  look(heard) {
    this.#missed = heard && this.#link?.readyState === "closed" ? this.#missed + 1 : 0;
    if (this.#missed >= GONE) this.close();
  }

  get open() {
    return this.#link?.readyState === "open";
  }

  // Returns whether the browser has taken the message.
  send(message) {
    return this.#write(JSON.stringify(message));
  }

  sendChunk(bytes) {
    return this.#write(bytes);
  }

  close() {
    if (this.over) return;
    this.over = true;
    this.#link?.close();
    this.leave();
    this.on.closed();
  }

  #write(data) {
    if (!this.open) return false;
    try {
      this.#link.send(data);
      return true;
    } catch {
      return false; // too much waits already
    }
  }

  #receive(data) {
    const size = data.length ?? data.byteLength;
    if (!this.#pace.take(1 + size / UNIT)) return this.#refuse();
    if (typeof data !== "string") return this.on.chunk(data);
    const message = readMessage(data);
    if (!message || !this.#paces.get(message.type).take()) return this.#refuse();
    this.on.message(message);
  }

  // A partner that floods loses its messages, and after that its channel; the voice goes on.
  #refuse() {
    this.#refused += 1;
    if (this.#refused >= PATIENCE) this.close();
  }
}
