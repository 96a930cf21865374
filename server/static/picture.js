// Pictures in small pieces, of which few are unacknowledged: so text and signalling never wait long.

import { MAX_PICTURE } from "./channel_messages.js";
import { headerOf } from "./header.js";

const KIND = 1; // first byte of a binary frame that carries a picture's piece
const HEAD = 5; // that byte and the picture's number
const MAX_PIXELS = 16_000_000; // a small file may decode to gigabytes

function frame(number, piece) {
  const bytes = new Uint8Array(HEAD + piece.length);
  bytes[0] = KIND;
  new DataView(bytes.buffer).setUint32(1, number);
  bytes.set(piece, HEAD);
  return bytes;
}

export class Outgoing {
  // Each page counts its own pictures, from a random number: so a cancel never means the other's picture.
  static #numbers = crypto.getRandomValues(new Uint32Array(1))[0] >>> 2;
  #sent = 0;

  // `link` sends: message(m) and chunk(bytes); a piece of at most `piece` bytes, and `window` of them on their way.
  constructor(blob, bytes, link) {
    Object.assign(this, { blob, bytes, link, number: Outgoing.#numbers++, acknowledged: 0 });
  }

  begin() {
    this.link.message({ type: "picture", picture: this.number, size: this.bytes.length, mime: this.blob.type });
    this.#push();
  }

  cancel() {
    this.link.message({ type: "picture-cancel", picture: this.number });
  }

  // Returns the part that has arrived; 1 means all of it.
  acknowledge(bytes) {
    this.acknowledged = Math.max(this.acknowledged, Math.min(bytes, this.#sent));
    this.#push();
    return this.acknowledged / this.bytes.length;
  }

  #push() {
    const { piece: most, window } = this.link;
    while (this.#sent < this.bytes.length && this.#sent + most - this.acknowledged <= window) {
      const piece = this.bytes.subarray(this.#sent, this.#sent + most);
      this.#sent += piece.length;
      this.link.chunk(frame(this.number, piece));
    }
  }
}

export class Incoming {
  #bytes;
  #received = 0;

  constructor({ picture, size, mime }, link) {
    if (!(size > 0 && size <= MAX_PICTURE)) throw new Error("odd");
    Object.assign(this, { number: picture, mime, link });
    this.#bytes = new Uint8Array(size);
  }

  // Takes one binary frame; returns the whole picture as a blob once it is complete, else null. Throws "odd".
  take(buffer) {
    const piece = new Uint8Array(buffer, HEAD);
    if (this.#received + piece.length > this.#bytes.length) throw new Error("odd");
    this.#bytes.set(piece, this.#received);
    this.#received += piece.length;
    this.acknowledge();
    return this.#received === this.#bytes.length ? this.#whole() : null;
  }

  acknowledge() {
    this.link.message({ type: "picture-ack", picture: this.number, bytes: this.#received });
  }

  // The declared type counts only if the bytes say the same.
  #whole() {
    const header = headerOf(this.#bytes);
    if (!header?.pixels || header.mime !== this.mime || header.pixels > MAX_PIXELS) throw new Error("odd");
    return new Blob([this.#bytes], { type: header.mime });
  }
}

// The number in a binary frame, or null if the frame is no piece of a picture.
export function numberOf(buffer) {
  if (buffer.byteLength <= HEAD) return null;
  const view = new DataView(buffer);
  return view.getUint8(0) === KIND ? view.getUint32(1) : null;
}
