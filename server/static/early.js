// A press of Start before the scripts are there. Without a script a button can open a note: that is the memory of the press.

import { at } from "./view.js";

// Whether Start was pressed; from now on the script hears the presses.
export function pressedEarly() {
  const pressed = "popover" in HTMLElement.prototype && at("soon").matches(":popover-open");
  at("start").removeAttribute("popovertarget");
  at("soon").remove();
  return pressed;
}
