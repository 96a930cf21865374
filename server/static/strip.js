// Takes out of a picture's file what says where, when and with what it was taken; the picture itself stays as it is.

import { headerOf } from "./header.js";
import { orientationIn, orientationSegment } from "./orientation.js";

const APP0 = 0xe0; // JFIF: the form of the file
const APP1 = 0xe1; // Exif and XMP
const APP14 = 0xee; // Adobe: how colours are meant
const COMMENT = 0xfe;
const SCAN = 0xda;
const END = 0xd9;
const PNG_KEPT = new Set(["IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "sBIT", "bKGD"]);
const WEBP_KEPT = new Set(["VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF"]);
const WEBP_LEFT = 0x2c; // flags of VP8X: colour profile, Exif, XMP

const name = (bytes, at) => String.fromCharCode(...bytes.subarray(at, at + 4));
const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

// Where the next marker is, behind the data of a scan (ITU-T T.81 B.1.1.5: 0xff00 and 0xffd0 to 0xffd7 are data).
function afterScan(bytes, from) {
  for (let at = from; at + 1 < bytes.length; at += 1) {
    if (bytes[at] === 0xff && bytes[at + 1] !== 0 && !(bytes[at + 1] >= 0xd0 && bytes[at + 1] <= 0xd7)) return at;
  }
  throw new Error("unreadable");
}

// What stands behind the end, such as the film of a moving photo, is left out, too.
function jpeg(bytes) {
  const parts = [bytes.subarray(0, 2)];
  for (let at = 2; at + 4 <= bytes.length || bytes[at + 1] === END; ) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff) break;
    if (marker === END) return joined([...parts, bytes.subarray(at, at + 2)]);
    let end = at + 2 + view(bytes).getUint16(at + 2);
    if (marker === SCAN) end = afterScan(bytes, end);
    if (end > bytes.length) break;
    const segment = bytes.subarray(at, end);
    const about = marker === COMMENT || (marker >= APP0 && marker <= 0xef);
    if (!about || marker === APP0 || marker === APP14) parts.push(segment);
    else if (marker === APP1) parts.push(orientationSegment(orientationIn(segment)));
    at = end;
  }
  throw new Error("unreadable");
}

function png(bytes) {
  const parts = [bytes.subarray(0, 8)];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 12 + view(bytes).getUint32(at);
    if (end > bytes.length) break;
    if (PNG_KEPT.has(name(bytes, at + 4))) parts.push(bytes.subarray(at, end));
    if (name(bytes, at + 4) === "IEND") return joined(parts);
    at = end;
  }
  throw new Error("unreadable");
}

function webp(bytes) {
  const parts = [bytes.slice(0, 12)];
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = view(bytes).getUint32(at + 4, true);
    const end = at + 8 + size + (size % 2);
    if (at + 8 + size > bytes.length) throw new Error("unreadable");
    const chunk = bytes.slice(at, end);
    if (name(chunk, 0) === "VP8X") chunk[8] &= ~WEBP_LEFT;
    if (WEBP_KEPT.has(name(chunk, 0))) parts.push(chunk);
    at = end;
  }
  const all = joined(parts);
  view(all).setUint32(4, all.length - 8, true);
  return all;
}

const KINDS = { "image/jpeg": jpeg, "image/png": png, "image/webp": webp };

// A blob without them. Throws "unreadable" for what is no JPEG, PNG or WebP.
export function stripped(bytes) {
  const mime = headerOf(bytes)?.mime;
  if (!mime) throw new Error("unreadable");
  return new Blob([KINDS[mime](bytes)], { type: mime });
}
