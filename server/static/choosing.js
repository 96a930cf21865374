// Where pictures come from: chosen, pasted or dropped. Each is looked at before it is sent.

import { moves } from "./moves.js";
import { redraw } from "./redraw.js";
import { at, trouble } from "./view.js";
import { PICTURE } from "./words.js";

const MAX_PICTURE = 2 * 1024 * 1024;
const isPicture = (file) => !file.type || file.type.startsWith("image/");

// `open`: whether there is a partner to see it; `send` gets what was drawn.
export function setUpChoosing(open, send) {
  const take = (files) => {
    const file = [...files].find(isPicture);
    if (file && open()) lookAt(file, open, send);
    else if (files.length && open()) trouble(PICTURE.unreadable);
    return Boolean(file);
  };
  at("file").addEventListener("change", () => {
    take(at("file").files);
    at("file").value = ""; // the same one may be chosen again
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files) && event.preventDefault());
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (event.dataTransfer.files.length) event.preventDefault(); // the browser would leave the page, and end the call
    take(event.dataTransfer.files);
  });
}

async function lookAt(file, open, send) {
  trouble();
  try {
    const blob = await redraw(file, MAX_PICTURE);
    const still = blob.type === "image/jpeg" && (await moves(file)); // else the file's own bytes are sent
    if (open()) ask(blob, still, send);
  } catch (error) {
    trouble(PICTURE[error.message] ?? PICTURE.unreadable);
  }
}

function ask(blob, still, send) {
  const dialog = at("preview");
  const image = at("preview-picture");
  URL.revokeObjectURL(image.src); // another one was pasted while one looks
  image.src = URL.createObjectURL(blob);
  at("preview-still").hidden = !still;
  dialog.returnValue = ""; // Escape leaves it so
  dialog.onclose = () => {
    URL.revokeObjectURL(image.src);
    image.removeAttribute("src");
    if (dialog.returnValue === "send") send(blob);
  };
  if (!dialog.open) dialog.showModal();
}
