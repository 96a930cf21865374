// The conversation: lines and pictures, bounded, and deleted after the call.

import { at } from "./view.js";
import { SHOWN, WHO } from "./words.js";

const MOST = 200; // entries; a partner who types without end must not fill the memory
const MOST_PICTURES = 12; // of up to 2 MiB each

const log = () => at("log");

function entry(from, content) {
  const line = document.createElement("div");
  line.className = `entry ${from}`;
  const who = document.createElement("span");
  who.className = "who";
  who.textContent = WHO[from];
  line.append(who, content);
  return append(line);
}

function append(line) {
  log().append(line);
  if (log().children.length > MOST) remove(log().firstElementChild);
  const pictures = log().querySelectorAll("img");
  if (pictures.length > MOST_PICTURES) remove(pictures[0].closest(".entry"));
  log().scrollTop = log().scrollHeight;
  return line;
}

function remove(line) {
  for (const image of line.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  line.remove();
}

export function addText(from, text) {
  const said = document.createElement("span");
  said.className = "said";
  said.dir = "auto";
  said.textContent = text;
  return entry(from, said);
}

// Resolves to false if the browser cannot show it.
export async function addPicture(from, blob) {
  const image = document.createElement("img");
  image.alt = SHOWN[from];
  image.src = URL.createObjectURL(blob);
  const line = entry(from, image);
  const shown = await image.decode().then(() => true, () => false);
  if (!shown) remove(line);
  log().scrollTop = log().scrollHeight;
  return shown;
}

export function note(line, text) {
  const mark = document.createElement("span");
  mark.className = "note";
  mark.textContent = text;
  line.append(mark);
}

export function clearLog() {
  for (const line of [...log().children]) remove(line);
}
