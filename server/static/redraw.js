// Draws a picture again, and smaller: what the camera wrote into the file (place, time, device) is left out.

const EDGES = [1600, 1200, 800]; // pixels; tried until the result fits
const QUALITIES = [0.85, 0.7];

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

// A JPEG of at most `limit` bytes. Throws "unreadable" or "large".
export async function redraw(file, limit) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error("unreadable");
  });
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
