// Where pictures come from: chosen, pasted or dropped. Each is looked at before it is sent.

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
    if (open()) ask(blob, file.type === "image/gif", send);
  } catch (error) {
    trouble(PICTURE[error.message] ?? PICTURE.unreadable);
  }
}

function ask(blob, moving, send) {
  const dialog = at("preview");
  const address = URL.createObjectURL(blob);
  at("preview-picture").src = address;
  at("preview-still").hidden = !moving;
  dialog.returnValue = ""; // Escape leaves it so
  dialog.onclose = () => {
    URL.revokeObjectURL(address);
    at("preview-picture").removeAttribute("src");
    if (dialog.returnValue === "send") send(blob);
  };
  if (!dialog.open) dialog.showModal();
}
