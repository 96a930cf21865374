// The page's elements: what each state enables, shows and says. A partner's text is only set as textContent.

import { restButtons } from "./rest.js";
import { clock, country, LOST, NO_PATH, NO_QUALITY, PARTNER_MUTED, PARTNER_TYPES, PATH, QUALITY, QUALITY_WHY, TITLES } from "./words.js";

export const at = (id) => document.getElementById(id);

// The controls that work in each state; the others are disabled.
const WORKS = {
  idle: ["start"],
  waiting: ["stop", "mute", "hold"],
  connecting: ["next", "stop", "mute", "hold"],
  talking: ["next", "stop", "mute", "hold", "message", "send", "picture"],
  ended: ["start", "next"],
};
const CONTROLS = ["start", "next", "stop", "mute", "hold", "message", "send", "picture"];

export function showState(state) {
  const focused = document.activeElement;
  document.body.dataset.state = state;
  for (const id of CONTROLS) at(id).disabled = !WORKS[state].includes(id);
  if (state === "waiting") at("next").disabled = false;
  restButtons(state);
  const name = document.body.dataset.name;
  document.title = TITLES[state] ? `${TITLES[state]} · ${name}` : name;
  if (state !== "talking") at("sending").hidden = true;
  keepFocus(focused);
}

// A button that becomes disabled must not send the keyboard focus to the top of the page.
function keepFocus(focused) {
  if (!focused || focused === document.body) return;
  if (!focused.disabled && focused.getClientRects().length) return;
  const order = focused.id === "start" ? ["stop"] : ["next", "stop", "start"];
  const next = focused.id === "stop" ? ["start"] : order;
  at(next.find((id) => !at(id).disabled) ?? "main").focus();
}

export function say(text) {
  if (at("status").textContent !== text) at("status").textContent = text;
}

export function trouble(text = "") {
  at("trouble").textContent = text;
}

export function showLevel(name, level) {
  at(`level-${name}`).value = level;
  at(`voice-${name}`).style.setProperty("--level", level.toFixed(2));
}

export function showFacts({ seconds, path, from }) {
  if (seconds !== undefined) at("duration").textContent = clock(seconds);
  if (path !== undefined) at("path").textContent = PATH[path] ?? NO_PATH;
  if (from !== undefined) {
    at("country-fact").hidden = !from;
    at("country").textContent = from ? country(from) : "";
  }
}

// After a call that failed, the page that checks the connection may help.
export function offerCheck(why = "") {
  at("try-check").hidden = !(why in LOST);
}

// Without a word it is not known.
export function showQuality(word = "", reasons = []) {
  at("quality").textContent = QUALITY[word] ?? NO_QUALITY;
  at("quality").dataset.rank = word;
  at("quality-why").textContent = word ? (reasons.length ? reasons : ["none"]).map((one) => QUALITY_WHY[one]).join(" ") : "";
  if (!word) at("quality-part").open = false;
}

export function showSending(part) {
  at("sending").hidden = part === null;
  at("progress").value = part ?? 0;
  at("picture").disabled = part !== null;
}

// What the partner's page tells of itself.
export function showPartner({ muted, typing }) {
  if (muted !== undefined) at("partner-muted").textContent = muted ? PARTNER_MUTED : "";
  if (typing !== undefined) at("typing").textContent = typing ? PARTNER_TYPES : "";
}

// Resolves to true if the browser plays, false if it needs a tap first.
export async function play(stream) {
  const sound = at("sound");
  sound.srcObject = stream;
  if (!stream) return true;
  return sound.play().then(() => true, (error) => error.name !== "NotAllowedError");
}
