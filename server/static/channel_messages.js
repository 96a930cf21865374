// The vocabulary of calln-channel.v1, which two pages speak over their data channel; docs/protocol.md describes it.

export const CHANNEL = "calln-channel.v1";
export const MAX_TEXT = 4000; // characters
export const MAX_PICTURE = 2 * 1024 * 1024; // bytes
const MAX_LETTERS = 48 * 1024; // of one message: a text in which each character is written as an escape

const number = (least, most) => (value) => Number.isInteger(value) && value >= least && value <= most;
const matches = (pattern) => (value) => typeof value === "string" && pattern.test(value);
const written = (value) => typeof value === "string" && value !== "" && value.length <= 2 * MAX_TEXT && [...value].length <= MAX_TEXT;

// Why one leaves. What a newer page may say instead is read as "left".
export const FAREWELLS = ["left", "next", "relay", "unreachable", "broken", "changed", "unable"];

const ID = number(1, 2 ** 31 - 1);
const PICTURE = number(0, 2 ** 31 - 1);

// Type -> what each of its fields must be.
const SHAPES = {
  text: { id: ID, text: written },
  received: { id: ID },
  picture: { picture: PICTURE, size: number(1, MAX_PICTURE), mime: matches(/^image\/(png|jpeg|webp)$/) },
  "picture-ack": { picture: PICTURE, bytes: number(0, MAX_PICTURE) },
  "picture-cancel": { picture: PICTURE },
  muted: { muted: (value) => typeof value === "boolean" },
  typing: {},
  bye: { reason: matches(/^[a-z]{1,20}$/) },
  "safety-commit": { hash: matches(/^[0-9a-f]{64}$/) },
  "safety-reveal": { nonce: matches(/^[0-9a-f]{64}$/) },
};

// Type -> how many a second are taken, and how many at once. What is more is lost.
export const PACES = {
  text: [10, 40],
  received: [10, 40],
  picture: [0.5, 6],
  "picture-ack": [500, 1000],
  "picture-cancel": [1, 8],
  muted: [2, 10],
  typing: [1, 4],
  bye: [1, 2],
  "safety-commit": [1, 2],
  "safety-reveal": [1, 2],
};

// The message with its own fields and nothing else, or null for anything that it should not be.
export function readMessage(data) {
  if (data.length > MAX_LETTERS) return null;
  const value = parsed(data);
  if (!Object.hasOwn(SHAPES, value?.type)) return null;
  const shape = Object.entries(SHAPES[value.type]);
  if (!shape.every(([name, fits]) => Object.hasOwn(value, name) && fits(value[name]))) return null;
  return { type: value.type, ...Object.fromEntries(shape.map(([name]) => [name, value[name]])) };
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
