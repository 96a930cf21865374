// The microphone: opened with Start, followed when it is unplugged or taken away, closed at the end.

import { sound } from "./settings.js";

const ALWAYS = { echoCancellation: true, autoGainControl: true };
const GONE = new Set(["NotFoundError", "OverconstrainedError"]); // the chosen device is not there

export class Microphone {
  #asked = 0; // counts: a microphone that is closed while the browser still asks is not opened
  #on = true;
  #ear = null;
  #silence = null;

  // `on` has changed(track): another one took over, or null: there is none; and hushed(yes): the system mutes it.
  constructor(on) {
    this.on = on;
    this.stream = null;
    this.missing = false;
    navigator.mediaDevices?.addEventListener("devicechange", () => this.missing && this.replace());
  }

  // Throws an error whose `name` is one of words.js, or "stale" where it was closed meanwhile.
  async open() {
    if (this.stream && !this.missing) return;
    if (!isSecureContext || !navigator.mediaDevices) throw named("insecure");
    const mine = ++this.#asked;
    const opened = await capture();
    if (mine !== this.#asked) {
      halt(opened);
      throw named("stale");
    }
    this.close();
    this.stream = opened;
    this.#watch(opened.getAudioTracks()[0]);
  }

  // The device is gone, or another one was chosen: a call goes on with what there is.
  async replace() {
    if (!this.stream) return;
    const mine = ++this.#asked;
    const found = await capture().then((opened) => opened.getAudioTracks()[0], () => null);
    if (mine !== this.#asked) return found?.stop();
    if (this.missing && !found) return;
    this.missing = !found;
    this.#take(found ?? this.#nothing());
    this.on.changed(found);
  }

  // Whether noise is to be filtered has changed. Returns whether there is a microphone that it matters to.
  filter() {
    if (!this.stream || this.missing) return false;
    this.#refine(this.stream.getAudioTracks()[0]);
    return true;
  }

  // Whether it is heard.
  set heard(yes) {
    this.#on = yes;
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = yes;
  }

  // What it hears even while it is muted, for the page alone: somebody may speak without knowing.
  get ear() {
    halt(this.#ear);
    this.#ear = this.stream.clone();
    for (const track of this.#ear.getAudioTracks()) track.enabled = true;
    return this.#ear;
  }

  close() {
    this.#asked += 1;
    for (const track of this.stream?.getAudioTracks() ?? []) forget(track);
    halt(this.#ear);
    this.#silence?.close();
    this.stream = this.#ear = this.#silence = null;
    this.missing = false;
  }

  // Firefox does it to an open track; Chromium opens a device once more only with the filters that it is open with.
  async #refine(track) {
    const filters = processing();
    await track.applyConstraints(filters).catch(() => {});
    if (track.readyState === "ended" || track.getSettings().noiseSuppression === filters.noiseSuppression) return;
    halt(this.stream);
    halt(this.#ear);
    await this.replace();
  }

  #take(track) {
    for (const old of this.stream.getAudioTracks()) {
      forget(old);
      this.stream.removeTrack(old);
    }
    this.stream.addTrack(track);
    this.#watch(track);
  }

  #watch(track) {
    track.enabled = this.#on;
    track.onended = () => this.replace();
    track.onmute = () => this.on.hushed(true);
    track.onunmute = () => this.on.hushed(false);
  }

  // A track without sound: packets go on, so the partner's page knows that only the voice is missing.
  #nothing() {
    this.#silence ??= new AudioContext();
    return this.#silence.createMediaStreamDestination().stream.getAudioTracks()[0];
  }
}

function processing() {
  return { ...ALWAYS, noiseSuppression: sound.noise.read() };
}

// The chosen device, or any where that one is gone.
async function capture() {
  const device = sound.microphone.read();
  const ask = (more) => navigator.mediaDevices.getUserMedia({ audio: { ...processing(), ...more } });
  if (!device) return ask({});
  return ask({ deviceId: { exact: device } }).catch((error) => {
    if (!GONE.has(error.name)) throw error;
    return ask({});
  });
}

function forget(track) {
  track.onended = track.onmute = track.onunmute = null;
  track.stop();
}

function halt(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

function named(name) {
  return Object.assign(new Error(name), { name });
}
