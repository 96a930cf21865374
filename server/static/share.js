// Text and pictures of one call.

import { addPicture, addText, clearLog, note } from "./log.js";
import { Incoming, numberOf, Outgoing } from "./picture.js";
import { redraw } from "./redraw.js";
import { showSending, trouble } from "./view.js";
import { NOT_SENT, PICTURE } from "./words.js";

const MAX_PICTURE = 2 * 1024 * 1024;

export class Share {
  #lines = new Map(); // id -> line that the server has not confirmed yet
  #count = 0;
  #call = null;
  #outgoing = null;
  #incoming = null;

  // `send` and `sendChunk` are those of the signalling.
  constructor(send, sendChunk) {
    this.link = { message: (message) => send({ ...message, call: this.#call }), chunk: sendChunk };
  }

  begin(call) {
    this.forget();
    this.#call = call;
  }

  // After a call the conversation stays readable; what was being sent stops.
  end() {
    this.#call = this.#outgoing = this.#incoming = null;
    this.#lines.clear();
    showSending(null);
  }

  forget() {
    this.end();
    clearLog();
  }

  say(written) {
    const text = written.toWellFormed?.() ?? written; // the server refuses half a character
    const id = `t${++this.#count}`;
    this.#lines.set(id, addText("you", text));
    this.link.message({ type: "text", text, id });
  }

  // Returns true if the error is about a line of text, which then shows it.
  refused(id) {
    const line = this.#lines.get(id);
    if (line) note(line, NOT_SENT);
    return this.#lines.delete(id);
  }

  async show(file) {
    const call = this.#call;
    trouble();
    try {
      const blob = await redraw(file, MAX_PICTURE);
      const outgoing = await Outgoing.of(blob, this.link);
      if (call !== this.#call || this.#outgoing) return; // the call ended while the picture was drawn
      this.#outgoing = outgoing;
      showSending(0);
      outgoing.begin();
    } catch (error) {
      trouble(PICTURE[error.message] ?? PICTURE.unreadable);
    }
  }

  cancel() {
    this.#outgoing?.cancel();
    this.#outgoing = null;
    showSending(null);
  }

  // The server refused the picture that was being sent.
  pictureRefused() {
    this.#outgoing = null;
    showSending(null);
  }

  // One message of the call's: sent, text, picture, picture-ack or picture-cancel.
  receive(message) {
    const take = {
      sent: () => this.#lines.delete(message.id),
      text: () => addText("partner", message.text),
      picture: () => this.#begin(message),
      "picture-ack": () => this.#acknowledged(message),
      "picture-cancel": () => this.#cancelled(message),
    };
    take[message.type]();
  }

  chunk(buffer) {
    if (!this.#incoming || this.#incoming.number !== numberOf(buffer)) return;
    this.#guarded(() => {
      const blob = this.#incoming.take(buffer);
      if (blob) this.#arrived(blob);
    });
  }

  #begin(message) {
    this.#guarded(() => (this.#incoming = new Incoming(message, this.link)));
  }

  async #arrived(blob) {
    this.#incoming = null;
    if (!(await addPicture("partner", blob))) trouble(PICTURE.odd);
  }

  #guarded(work) {
    try {
      work();
    } catch {
      if (this.#incoming) this.link.message({ type: "picture-cancel", picture: this.#incoming.number });
      this.#incoming = null;
      trouble(PICTURE.odd);
    }
  }

  #acknowledged({ picture, bytes }) {
    if (this.#outgoing?.number !== picture) return;
    const part = this.#outgoing.acknowledge(bytes);
    showSending(part);
    if (part < 1) return;
    addPicture("you", this.#outgoing.blob);
    this.#outgoing = null;
    showSending(null);
  }

  #cancelled({ picture }) {
    if (this.#outgoing?.number === picture) {
      this.#outgoing = null;
      showSending(null);
      trouble(PICTURE.refused);
    } else if (this.#incoming?.number === picture) {
      this.#incoming = null;
    }
  }
}
