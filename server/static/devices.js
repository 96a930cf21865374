// Which microphone and speaker: a trial of both, the choice, and the switches beside it.

import { Meters } from "./meter.js";
import { Microphone } from "./microphone.js";
import { sound } from "./settings.js";
import { at } from "./view.js";
import * as words from "./words.js";

const TRIAL = 60_000; // ms; then the trial lets the microphone go
const TONE = { frequency: 440, seconds: 0.6, loudness: 0.2 };

const meters = new Meters((_, level) => (at("trial-level").value = level));
const trial = new Microphone({ changed: again, hushed: () => {} });
let ending = 0;

// Calls `changed` when the microphone is to be opened anew, `pushed` when push to talk was switched, and `filtered`, which returns
// whether there is a microphone of a call, when the filter was.
export function setUpDevices({ changed, pushed, filtered }) {
  at("devices").addEventListener("toggle", () => (at("devices").open ? showChoices() : endTrial()));
  at("trial").addEventListener("click", () => (trial.stream ? endTrial() : tryOut()));
  at("tone").addEventListener("click", play);
  navigator.mediaDevices?.addEventListener("devicechange", () => at("devices").open && showChoices());
  const choose = (id, act) => at(id).addEventListener("change", () => (sound[id].write(at(id).value), act()));
  const turn = (id, act) => at(id).addEventListener("change", () => (sound[id].write(at(id).checked), act()));
  const listen = () => (trial.replace(), changed());
  choose("microphone", listen);
  choose("speaker", speak);
  turn("noise", () => (filtered() ? endTrial() : trial.filter())); // two with different filters cannot be open at once
  turn("push", pushed);
  for (const id of ["noise", "push"]) at(id).checked = sound[id].read();
  speak();
}

export function endTrial() {
  clearTimeout(ending);
  meters.close();
  trial.close();
  at("trial").setAttribute("aria-pressed", "false");
}

async function tryOut() {
  at("trial-trouble").textContent = "";
  at("trial").setAttribute("aria-pressed", "true");
  ending = setTimeout(endTrial, TRIAL);
  try {
    await trial.open();
  } catch ({ name }) {
    endTrial();
    if (name !== "stale") at("trial-trouble").textContent = words.MICROPHONE[name] ?? words.MICROPHONE.other;
    return;
  }
  meters.listen("trial", trial.stream);
  showChoices(); // browsers name the devices only now
}

function again(track) {
  if (!track) return endTrial();
  meters.listen("trial", trial.stream);
}

async function showChoices() {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  fill("microphone", all.filter((one) => one.kind === "audioinput"));
  const speakers = all.filter((one) => one.kind === "audiooutput");
  at("speaker-part").hidden = !at("sound").setSinkId || !speakers.length;
  fill("speaker", speakers);
}

// Without a permission the devices have neither names nor ids: then there is nothing to choose.
function fill(id, devices) {
  const known = devices.filter((one) => one.deviceId && one.deviceId !== "default");
  const options = known.map((one) => new Option(one.label, one.deviceId));
  at(id).replaceChildren(new Option(words.DEFAULT_DEVICE, ""), ...options);
  at(id).value = sound[id].read();
  if (at(id).selectedIndex < 0) at(id).value = "";
}

async function speak() {
  for (const id of ["sound", "trial-sound"]) await at(id).setSinkId?.(sound.speaker.read()).catch(() => {}); // it is gone: the default one stays
}

function play() {
  const context = new AudioContext();
  const [tone, volume] = [new OscillatorNode(context, TONE), new GainNode(context, { gain: TONE.loudness })];
  const target = context.createMediaStreamDestination();
  tone.connect(volume).connect(target);
  at("trial-sound").srcObject = target.stream;
  at("trial-sound").play();
  tone.onended = () => context.close();
  tone.start();
  tone.stop(context.currentTime + TONE.seconds);
}
