// While the page is hidden: its title says that somebody is there or writes, and a short soft sound is heard.

import { chime } from "./settings.js";
import { at } from "./view.js";
import { newTexts, SOMEBODY } from "./words.js";

const TONES = [660, 880]; // Hz, one after the other
const LOUD = 0.06; // of 1: soft
const SECONDS = 0.25; // of each
const CALM = 3000; // ms between two sounds: a partner who writes fast does not ring all the time

let usual = document.title;
let met = false;
let texts = 0;
let context = null;
let rang = -CALM;

// No browser tells that somebody wants less sound, so there is a switch.
export function setUpAttention() {
  at("chime").checked = chime.read();
  at("chime").addEventListener("change", () => chime.write(at("chime").checked));
  document.addEventListener("click", allowSound);
  document.addEventListener("visibilitychange", seen);
  new MutationObserver(stateChanged).observe(document.body, { attributeFilter: ["data-state"] });
  new MutationObserver(written).observe(at("log"), { childList: true });
}

// Browsers start no audio before a click.
function allowSound() {
  context ??= new AudioContext();
}

// The title of the new state has been set just before.
function stateChanged() {
  const { state } = document.body.dataset;
  usual = document.title;
  if (document.hidden && state === "connecting") ring();
  met = document.hidden && (state === "connecting" || (met && state === "talking"));
  if (state !== "talking") texts = 0;
  show();
}

function written(changes) {
  const lines = changes.flatMap((change) => [...change.addedNodes]).filter((line) => line.matches(".entry.partner"));
  if (!document.hidden || !lines.length) return;
  texts += lines.length;
  ring();
  show();
}

function seen() {
  if (!document.hidden) [met, texts] = [false, 0];
  show();
}

function show() {
  const title = texts ? newTexts(texts) : met ? SOMEBODY : usual;
  if (document.title !== title) document.title = title;
}

async function ring() {
  const now = performance.now();
  if (!chime.read() || !context || now - rang < CALM) return;
  rang = now;
  await context.resume();
  TONES.forEach((frequency, number) => tone(frequency, context.currentTime + number * SECONDS));
}

// It swells and fades, so that it does not click.
function tone(frequency, at) {
  const source = new OscillatorNode(context, { frequency });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(LOUD, at + SECONDS / 5);
  gain.gain.linearRampToValueAtTime(0, at + SECONDS);
  source.connect(gain).connect(context.destination);
  source.start(at);
  source.stop(at + SECONDS);
}
