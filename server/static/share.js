// Text and pictures of one call: over the channel between the browsers, or through the server for a page without one.

import { addPicture, addText, clearLog, mark } from "./log.js";
import { MAX_PICTURE } from "./channel_messages.js";
import { numberIn, overChannel, throughServer } from "./links.js";
import { Incoming, numberOf, Outgoing } from "./picture.js";
import { redraw } from "./redraw.js";
import { Texts } from "./texts.js";
import { showSending, trouble } from "./view.js";
import { PICTURE } from "./words.js";

const REPEATED = 32; // lines of a partner that may come again, at least: a page has 10 on their way

export class Share {
  #links = {};
  #mine = null; // the link that one's own words and pictures take
  #texts = null;
  #outgoing = null;
  #incoming = null;
  #heard = new Set(); // the numbers of the partner's latest lines over the channel

  // `send` and `sendChunk` are those of the signalling.
  constructor(send, sendChunk) {
    Object.assign(this, { send, sendChunk });
  }

  // `channel`: the channel to the partner's page; without one everything goes through the server. `again`: with the same
  // partner, whose page was loaded again: what was said stays.
  begin(call, channel, again) {
    if (again) this.end();
    else this.forget();
    this.#heard.clear();
    const server = throughServer(call, this.send, this.sendChunk);
    this.#links = channel ? { server, channel: overChannel(channel) } : { server };
    this.#mine = this.#links.channel ?? server;
    this.#texts = new Texts(this.#mine);
  }

  // Whether one can write to the partner now.
  get open() {
    return this.#mine !== null;
  }

  get private() {
    return this.#mine?.via === "channel";
  }

  // After a call the conversation stays readable; what was being sent stops.
  end() {
    this.#stop();
    this.#texts = this.#incoming = null;
    this.#links = {};
  }

  forget() {
    this.end();
    clearLog();
  }

  say(written) {
    this.#texts?.say(written.toWellFormed?.() ?? written); // the server refuses half a character
  }

  async show(file) {
    const mine = this.#mine;
    trouble();
    try {
      const blob = await redraw(file, MAX_PICTURE);
      const bytes = new Uint8Array(await blob.arrayBuffer());
      if (mine === this.#mine && !this.#outgoing) this.#send(blob, bytes); // else the call ended while it was drawn
    } catch (error) {
      trouble(PICTURE[error.message] ?? PICTURE.unreadable);
    }
  }

  cancel() {
    this.#outgoing?.cancel();
    this.#done();
  }

  // The channel is there, or there again.
  opened() {
    this.#texts?.repeat();
    this.#sendAgain("channel");
  }

  // The channel is gone for the rest of the call.
  closed() {
    if (this.private) this.#stop();
  }

  // The same seat at the server on a new socket: pieces and answers that the old one had may be lost.
  resumed() {
    if (this.#incoming?.link.via === "server") this.#incoming.acknowledge();
    this.#sendAgain("server");
  }

  // Returns true if the server's error is about a line of text, which then shows it.
  refused(id, why) {
    return this.#texts?.refused(numberIn(id), why) ?? false;
  }

  // The server refused the picture that was being sent.
  pictureRefused() {
    this.#failed(PICTURE.refused);
  }

  // One message of the call's, by the server or by the channel.
  receive(message, via = "server") {
    const link = this.#links[via];
    const take = {
      sent: () => this.#texts?.delivered(numberIn(message.id)),
      received: () => this.#texts?.delivered(message.id),
      text: () => this.#hear(message, link),
      picture: () => this.#begin(message, link),
      "picture-ack": () => this.#acknowledged(message, link),
      "picture-cancel": () => this.#cancelled(message, link),
    };
    if (link) take[message.type]?.();
  }

  chunk(buffer, via = "server") {
    const incoming = this.#incoming;
    if (!incoming || incoming.link !== this.#links[via] || incoming.number !== numberOf(buffer)) return;
    this.#guarded(() => {
      const blob = incoming.take(buffer);
      if (blob) this.#arrived(blob, via);
    });
  }

  #hear({ id, text }, link) {
    if (link.via !== "channel") return addText("partner", text, link.via);
    link.message({ type: "received", id });
    if (this.#heard.has(id)) return;
    addText("partner", text, link.via);
    this.#heard.add(id);
    if (this.#heard.size > REPEATED) this.#heard.delete(this.#heard.values().next().value);
  }

  #sendAgain(via) {
    if (this.#outgoing?.link.via !== via) return;
    const { blob, bytes } = this.#outgoing;
    this.cancel();
    this.#send(blob, bytes);
  }

  #send(blob, bytes) {
    this.#outgoing = new Outgoing(blob, bytes, this.#mine);
    showSending(0);
    this.#outgoing.begin();
  }

  #begin(message, link) {
    this.#guarded(() => (this.#incoming = new Incoming(message, link)));
  }

  async #arrived(blob, via) {
    this.#incoming = null;
    if (!(await addPicture("partner", blob, via))) trouble(PICTURE.odd);
  }

  #guarded(work) {
    try {
      work();
    } catch {
      this.#incoming?.link.message({ type: "picture-cancel", picture: this.#incoming.number });
      this.#incoming = null;
      trouble(PICTURE.odd);
    }
  }

  #acknowledged({ picture, bytes }, link) {
    if (this.#outgoing?.number !== picture || this.#outgoing.link !== link) return;
    const part = this.#outgoing.acknowledge(bytes);
    showSending(part);
    if (part < 1) return;
    addPicture("you", this.#outgoing.blob, link.via);
    this.#done();
  }

  #cancelled({ picture }, link) {
    if (this.#outgoing?.number === picture && this.#outgoing.link === link) this.#failed(PICTURE.refused);
    else if (this.#incoming?.number === picture && this.#incoming.link === link) this.#incoming = null;
  }

  #stop() {
    this.#mine = null;
    this.#texts?.end();
    this.#failed(PICTURE.refused);
  }

  // A picture that did not arrive stays to be seen, and can be sent again while the call goes on.
  async #failed(why) {
    const { blob, bytes, link } = this.#outgoing ?? {};
    this.#done();
    if (!blob) return;
    trouble(why);
    const entry = await addPicture("you", blob, link.via);
    const again = () => !this.#outgoing && this.open && this.#send(blob, bytes);
    if (entry) mark(entry, "lost", this.open ? again : null);
  }

  #done() {
    this.#outgoing = null;
    showSending(null);
  }
}
