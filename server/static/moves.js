// Whether a picture's file holds several pictures, one after the other: only the first of them is drawn and sent.

const MOST = 8 * 1024 * 1024; // bytes that are looked at

const name = (bytes, at) => String.fromCharCode(...bytes.subarray(at, at + 4));
const starts = (bytes, at, text) => [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));
const colours = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0); // bytes of a GIF's colour table

function afterBlocks(bytes, at) {
  while (bytes[at]) at += bytes[at] + 1;
  return at + 1;
}

// GIF89a §15 to §26: extensions and pictures, each with blocks of data. Two pictures are enough to know.
function gif(bytes) {
  let pictures = 0;
  for (let at = 13 + colours(bytes[10]); at < bytes.length && pictures < 2; ) {
    if (bytes[at] === 0x21) at = afterBlocks(bytes, at + 2);
    else if (bytes[at] === 0x2c) [pictures, at] = [pictures + 1, afterBlocks(bytes, at + 11 + colours(bytes[at + 9]))];
    else break;
  }
  return pictures > 1;
}

// PNG, third edition §11.3.6: acTL stands before the first picture.
function png(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length && name(bytes, at + 4) !== "IDAT"; at += 12 + view.getUint32(at)) {
    if (name(bytes, at + 4) === "acTL") return at + 12 <= bytes.length && view.getUint32(at + 8) > 1;
  }
  return false;
}

// RFC 9649 §2.7.1
const webp = (bytes) => name(bytes, 12) === "VP8X" && (bytes[20] & 2) !== 0;

export async function moves(file) {
  const bytes = new Uint8Array(await file.slice(0, MOST).arrayBuffer());
  if (starts(bytes, 0, "GIF8")) return gif(bytes);
  if (starts(bytes, 0, "\x89PNG")) return png(bytes);
  return starts(bytes, 0, "RIFF") && starts(bytes, 8, "WEBP") && webp(bytes);
}
