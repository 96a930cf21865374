// The true type of a picture and its size in pixels, from its first bytes, before any decoder sees it.

const starts = (bytes, at, text) => [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));

function png(bytes, view) {
  if (!starts(bytes, 0, "\x89PNG\r\n\x1a\n") || !starts(bytes, 12, "IHDR")) return null;
  return { mime: "image/png", pixels: view.getUint32(16) * view.getUint32(20) };
}

// Walks the segments to the frame header (ITU-T T.81 B.2.2); 0xC4, 0xC8 and 0xCC are none.
function jpeg(bytes, view) {
  if (!starts(bytes, 0, "\xff\xd8\xff")) return null;
  for (let at = 2; at + 9 <= bytes.length && bytes[at] === 0xff; at += 2 + view.getUint16(at + 2)) {
    const marker = bytes[at + 1];
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) return { mime: "image/jpeg", pixels: view.getUint16(at + 5) * view.getUint16(at + 7) };
  }
  return null;
}

// RFC 9649 §2.5 to §2.7
function webp(bytes, view) {
  if (!starts(bytes, 0, "RIFF") || !starts(bytes, 8, "WEBP") || bytes.length < 30) return null;
  const sizes = {
    "VP8 ": () => (view.getUint16(26, true) & 0x3fff) * (view.getUint16(28, true) & 0x3fff),
    VP8L: () => ((view.getUint32(21, true) & 0x3fff) + 1) * (((view.getUint32(21, true) >> 14) & 0x3fff) + 1),
    VP8X: () => ((view.getUint32(24, true) & 0xffffff) + 1) * ((view.getUint32(26, true) >> 8 & 0xffffff) + 1),
  };
  const size = sizes[String.fromCharCode(...bytes.subarray(12, 16))];
  return size ? { mime: "image/webp", pixels: size() } : null;
}

// { mime, pixels }, or null for anything but PNG, JPEG and WebP.
export function headerOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 24) return null;
  return png(bytes, view) ?? jpeg(bytes, view) ?? webp(bytes, view);
}
