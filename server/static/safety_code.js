// The safety code, as calculations alone: the keys in a description, commitments, and the code of two keys and two nonces.

import { EMOJI, WORDS } from "./safety_words.js";

const LABEL = "calln-channel.v1 safety";
const DIGITS = 10; // of the largest number of 32 bits
const LETTERS = new TextEncoder();
const STRICT = /^a=fingerprint:(sha-(?:256|384|512) [0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+)$/;

// All fingerprints of a description (RFC 8122 §5) in one form, or null unless each is written as browsers write it:
// what one reader takes for a fingerprint must not be something else for another.
export function fingerprintsIn(sdp) {
  const found = sdp.split(/\r?\n/).map((line) => STRICT.exec(line)?.[1].toLowerCase()).filter(Boolean);
  const named = sdp.match(/fingerprint/gi)?.length ?? 0;
  return named && found.length === named ? [...new Set(found)].sort().join() : null;
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function hash(...parts) {
  const text = LETTERS.encode([LABEL, ...parts].join("\n")); // no part has a line break
  return new Uint8Array(await crypto.subtle.digest("SHA-256", text));
}

// What one side is bound to before it hears the other's nonce. `part` is "first" for the side that offers first, else
// "second": so nobody can send back what it got.
export async function commitment(part, nonce) {
  return hex(await hash("commitment", part, nonce));
}

// 30 bits as five emoji with their names, and 32 bits as four words and as ten digits, which are the same in every language. `first` and `second` have `keys` and `nonce`.
export async function codeOf(first, second) {
  const bytes = await hash("code", first.keys, second.keys, first.nonce, second.nonce);
  const number = new DataView(bytes.buffer).getUint32(0);
  return {
    emoji: [26, 20, 14, 8, 2].map((shift) => EMOJI[(number >>> shift) & 63]),
    words: [...bytes.subarray(0, 4)].map((byte) => WORDS[byte]),
    digits: String(number).padStart(DIGITS, "0").match(/../g),
  };
}
