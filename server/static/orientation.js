// Which way up a JPEG is: the one thing in its Exif data (CIPA DC-008) without which it would be shown wrongly.

const EXIF = "Exif\0\0";
const TAG = 0x0112;
const HEAD = 10; // marker, length, "Exif\0\0"

// From 1 to 8, from a segment of kind APP1; 1, the usual way, if there is nothing of the kind.
export function orientationIn(segment) {
  const isExif = [...EXIF].every((letter, i) => segment[4 + i] === letter.charCodeAt(0));
  if (!isExif || segment.length < HEAD + 14) return 1;
  const view = new DataView(segment.buffer, segment.byteOffset + HEAD, segment.length - HEAD);
  const little = view.getUint16(0) === 0x4949;
  const first = view.getUint32(4, little);
  if (first + 2 > view.byteLength) return 1;
  const count = view.getUint16(first, little);
  for (let at = first + 2, left = count; left > 0 && at + 12 <= view.byteLength; at += 12, left -= 1) {
    if (view.getUint16(at, little) === TAG) return Math.min(8, Math.max(1, view.getUint16(at + 8, little)));
  }
  return 1;
}

// A segment that says this and nothing else; empty for the usual way.
export function orientationSegment(orientation) {
  if (orientation === 1) return new Uint8Array(0);
  const tiff = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0];
  const body = [...[...EXIF].map((letter) => letter.charCodeAt(0)), ...tiff];
  return new Uint8Array([0xff, 0xe1, 0, body.length + 2, ...body]);
}
