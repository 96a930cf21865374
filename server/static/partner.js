// The partner's page, as one hears of it over the channel: its words and pictures, mute, typing, and its good-bye.

import { Channel } from "./channel.js";
import { closeComposer } from "./composer.js";
import { FAREWELLS, PACES } from "./channel_messages.js";
import { Pace } from "./pace.js";
import { Safety } from "./safety.js";
import { closeSafety, showSafety } from "./safety_view.js";
import { showPartner, trouble } from "./view.js";
import { CHANNEL_GONE } from "./words.js";

const TYPING = 2000; // ms between two signs that one writes
const HUSH = 1000; // ms after which a silence is told: push to talk makes many short ones
const SPEAK = 300; // ms until it is told that one is heard again
const SHOWN = 5000; // ms that such a sign counts
const DOUBT = 3000; // ms after which a channel that closed does not only mean that the call is ending

export class Partner {
  farewell = null; // why the partner has left
  #muted = false;
  #told = false; // what the partner knows of that
  #telling = 0;
  #signs = new Pace(...PACES.typing);
  #signAt = -Infinity; // when the last one went
  #timer = 0;
  #doubt = 0;

  // `left` is called with the reason of the partner's good-bye; `first` and `keys` as in safety.js.
  constructor(share, { left, first, keys }) {
    this.channel = new Channel({
      opened: () => this.#opened(),
      closed: () => this.#closed(),
      message: (message) => this.#take(message),
      chunk: (buffer) => share.chunk(buffer, "channel"),
    });
    Object.assign(this, { share, left });
    this.safety = new Safety({ first, keys, send: (message) => this.channel.send(message), show: showSafety });
    showSafety();
    showPartner({ muted: false, typing: false });
  }

  mute(on) {
    this.#muted = on;
    clearTimeout(this.#telling);
    this.#telling = setTimeout(() => this.#tell(), on ? HUSH : SPEAK);
  }

  typing() {
    const now = performance.now();
    if (now - this.#signAt < TYPING || !this.#signs.take()) return;
    this.#signAt = now;
    this.channel.send({ type: "typing" });
  }

  // A line has gone, which ends the sign at the partner's: the next letter is a new one.
  sent() {
    this.#signAt = -Infinity;
  }

  bye(reason) {
    this.channel.send({ type: "bye", reason });
  }

  // The call is over.
  end() {
    this.safety.end();
    closeSafety();
    this.channel.close();
    for (const timer of [this.#timer, this.#doubt, this.#telling]) clearTimeout(timer);
    showPartner({ muted: false, typing: false });
  }

  #opened() {
    this.safety.begin();
    this.#tell();
    this.share.opened();
  }

  #tell() {
    if (this.#told !== this.#muted && this.channel.send({ type: "muted", muted: this.#muted })) this.#told = this.#muted;
  }

  #closed() {
    this.safety.interrupt();
    this.share.closed();
    this.#doubt = setTimeout(() => {
      closeComposer();
      trouble(CHANNEL_GONE);
    }, DOUBT);
  }

  #take(message) {
    const take = {
      muted: () => showPartner({ muted: message.muted }),
      typing: () => this.#types(),
      bye: () => this.#leaves(message.reason),
      "safety-commit": () => this.safety.receive(message),
      "safety-reveal": () => this.safety.receive(message),
    };
    if (message.type === "text") this.#rests();
    if (take[message.type]) take[message.type]();
    else this.share.receive(message, "channel");
  }

  #leaves(reason) {
    this.farewell ??= FAREWELLS.includes(reason) ? reason : "left";
    this.left(this.farewell);
  }

  #types() {
    clearTimeout(this.#timer);
    showPartner({ typing: true });
    this.#timer = setTimeout(() => this.#rests(), SHOWN);
  }

  #rests() {
    clearTimeout(this.#timer);
    showPartner({ typing: false });
  }
}
