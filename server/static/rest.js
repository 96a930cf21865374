// The second press of a double click, or of Enter, is not for what the page has put there meanwhile: after a press that changes
// the state, the buttons of the call rest for a moment, marked as disabled.

const TWICE = 500; // ms between the two presses, as systems have it
const BUTTONS = ".stage button:not(#mute, #hold), .guard button";

let pressed = -TWICE; // when
let timer = 0;

addEventListener("click", hear, true);
addEventListener("keydown", ({ key }) => key === "Tab" && move(), true);

// Who moves on to another button means that one.
function move() {
  pressed = -TWICE;
  restButtons(document.body.dataset.state);
}

function hear(press) {
  const button = press.target.closest?.("button");
  if (!button) return;
  if (button.getAttribute("aria-disabled") !== "true") {
    pressed = performance.now();
    return;
  }
  press.preventDefault();
  press.stopImmediatePropagation();
}

// For each new state. If somebody presses Next again and again, the focus must not move to Stop: so Next stays enabled while one
// waits, and only rests.
export function restButtons(state) {
  const rest = pressed + TWICE - performance.now();
  for (const button of document.querySelectorAll(BUTTONS)) {
    button.setAttribute("aria-disabled", String(rest > 0 || (button.id === "next" && state === "waiting")));
  }
  clearTimeout(timer);
  if (rest > 0) timer = setTimeout(() => restButtons(document.body.dataset.state), rest);
}
