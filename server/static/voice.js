// One's own voice: the microphone, whether it is heard, its meter, and what the page says about all that.

import { endTrial, setUpDevices } from "./devices.js";
import { Microphone } from "./microphone.js";
import { Mute } from "./mute.js";
import { sound } from "./settings.js";
import { at, showLevel } from "./view.js";
import * as words from "./words.js";

export class Voice {
  #hushed = false;

  // `meters` show(name, level) by show() of this; `on` has replaced(track) and heard(yes).
  constructor(meters, on) {
    this.meters = meters;
    this.on = on;
    this.microphone = new Microphone({ changed: (track) => this.#changed(track), hushed: (yes) => this.#hush(yes) });
    this.mute = new Mute({ heard: (yes) => this.#heard(yes), forgotten: () => this.#hint(words.FORGOTTEN) });
    setUpDevices({
      changed: () => this.microphone.replace(),
      pushed: () => this.mute.show(),
      filtered: () => this.microphone.filter(),
    });
    this.mute.show();
  }

  get stream() {
    return this.microphone.stream;
  }

  // Throws what Microphone.open() throws.
  async open() {
    endTrial();
    await this.microphone.open();
    this.#hushed = false;
    this.#heard(this.mute.heard);
    this.meters.listen("you", this.microphone.ear);
  }

  close() {
    this.microphone.close();
    this.meters.close();
    this.mute.reset();
  }

  show(name, level) {
    showLevel(name, name === "you" ? this.mute.level(level) : level);
  }

  #changed(track) {
    this.#hushed = false;
    if (track) this.meters.listen("you", this.microphone.ear);
    else this.meters.silence("you");
    this.#hint();
    this.on.replaced(this.stream.getAudioTracks()[0]);
  }

  #hush(yes) {
    this.#hushed = yes;
    this.#hint();
  }

  #heard(yes) {
    this.microphone.heard = yes;
    this.#hint();
    this.on.heard(yes);
  }

  // Why nobody hears one, as long as it is so.
  #hint(text = this.#why) {
    at("unheard").textContent = text;
    at("unheard").hidden = !text;
  }

  get #why() {
    if (!this.stream) return "";
    if (this.microphone.missing) return words.NO_MICROPHONE;
    if (this.#hushed) return words.HUSHED;
    if (this.mute.heard) return "";
    return sound.push.read() ? words.HOLD : words.MUTED;
  }
}
