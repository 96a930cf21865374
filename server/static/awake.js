// Keeps a phone's screen on during a call: a locked screen would end it.

let lock = null;
let wanted = false;

async function take() {
  if (!wanted || document.visibilityState !== "visible") return;
  const taken = await navigator.wakeLock?.request("screen").catch(() => null); // none if the battery is low: then the person decides
  release(); // one from before, or from another call of this meanwhile
  lock = taken;
  if (!wanted) release();
}

function release() {
  lock?.release();
  lock = null;
}

// The browser ends the lock whenever the page is hidden.
document.addEventListener("visibilitychange", take);

export function keepAwake(on) {
  wanted = on;
  if (on) take();
  else release();
}
