// The rules of the site and the question of age, for sites that have them: once before the first call.

import { accepted } from "./settings.js";
import { at } from "./view.js";

// False where somebody has to be asked first; `go` is called when they accept.
export function rulesAccepted(go) {
  const dialog = at("rules");
  if (!dialog || accepted.read() === dialog.dataset.version) return true;
  dialog.returnValue = ""; // Escape leaves it so
  dialog.onclose = () => dialog.returnValue === "accept" && accept(dialog.dataset.version, go);
  dialog.showModal();
  return false;
}

function accept(version, go) {
  accepted.write(version);
  go();
}
