// Draws a picture again, and smaller: what the camera wrote into the file (place, time, device) is left out. Where the
// browser gives a false image of what was drawn, the file's bytes are cleaned instead.

import { stripped } from "./strip.js";

const EDGES = [1600, 1200, 800]; // pixels; tried until the result fits
const QUALITIES = [0.85, 0.7];
const NOISE = 4; // of 255: some browsers change colours by so much, which nobody sees
const HEIC = /^(heic|heix|heim|heis|hevc|hevx|mif1|msf1)$/;
const ready = new WeakSet(); // what is drawn already needs no second time

function draw(bitmap, edge) {
  const scale = Math.min(1, edge / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // transparent parts would become black
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function encode(canvas, quality) {
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}

// Firefox with resistFingerprinting gives noise instead of what was drawn: it is asked for colours that are known.
function tellsTruth() {
  const context = Object.assign(document.createElement("canvas"), { width: 8, height: 8 }).getContext("2d");
  for (let x = 0; x < 8; x += 1) {
    context.fillStyle = `rgb(${x * 30} ${255 - x * 30} 90)`;
    context.fillRect(x, 0, 1, 8);
  }
  const { data } = context.getImageData(0, 0, 8, 8);
  return data.every((value, i) => {
    const x = (i >> 2) % 8;
    return Math.abs(value - [x * 30, 255 - x * 30, 90, 255][i % 4]) <= NOISE;
  });
}

// Throws "heic" for the usual format of iPhones, which few browsers read, else "unreadable".
async function refuse(file) {
  const bytes = new Uint8Array(await file.slice(4, 12).arrayBuffer());
  const [box, brand] = [bytes.subarray(0, 4), bytes.subarray(4)].map((part) => String.fromCharCode(...part));
  throw new Error(box === "ftyp" && HEIC.test(brand) ? "heic" : "unreadable");
}

async function cleaned(file, limit) {
  const blob = stripped(new Uint8Array(await file.arrayBuffer()));
  if (blob.size > limit) throw new Error("large");
  return blob;
}

// A picture without what the camera wrote, of at most `limit` bytes. Throws "unreadable", "heic" or "large".
export async function redraw(file, limit) {
  if (ready.has(file)) return file;
  const blob = tellsTruth() ? await drawn(file, limit) : await cleaned(file, limit);
  ready.add(blob);
  return blob;
}

// A JPEG of at most `limit` bytes.
async function drawn(file, limit) {
  const bitmap = await createImageBitmap(file).catch(() => refuse(file));
  try {
    for (const edge of EDGES) {
      const canvas = draw(bitmap, edge);
      for (const quality of QUALITIES) {
        const blob = await encode(canvas, quality);
        if (blob && blob.size <= limit) return blob;
      }
    }
  } finally {
    bitmap.close();
  }
  throw new Error("large");
}
