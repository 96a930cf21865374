// The WebSocket: greeting, liveness, and resume after a drop.

import { CHANNEL } from "./channel_messages.js";
import { Counts } from "./counts.js";
import { Patience } from "./patience.js";
import { Pauses } from "./pauses.js";

const CAN = window.RTCPeerConnection && "createDataChannel" in RTCPeerConnection.prototype ? [CHANNEL] : [];
const FINAL = new Set([1000, 1007, 1009, 4400, 4401, 4403, 4406, 4409]); // do not connect again
const OLD = 1000; // ms after which an attempt from before a change of network is not waited for
const DEAD_LINK = 4408; // "silent": the server keeps the session of a link that died, so that it can be resumed
const LOADING = 4410; // the server keeps the session for a page that is loaded again

export class Signalling {
  #socket = null;
  #resume = null;
  #counts = new Counts();
  #pauses = new Pauses();
  #timer = 0;
  #beganAt = 0;
  #tick = null;
  #patience = new Patience(() => this.#silent());

  constructor(token, on) {
    this.token = token;
    this.on = on; // message(m), chunk(bytes), ready(hello), away(code, seconds), refused(code), ticket() of the call or null
    this.wanted = false;
    this.ready = false;
    addEventListener("online", () => this.hurry());
    navigator.connection?.addEventListener("change", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.hurry());
  }

  // `seat` is that of the page before it was loaded again.
  open(seat = null) {
    if (this.wanted) return;
    this.wanted = true;
    this.#pauses.begin();
    if (seat) [this.#resume, this.#counts.heard] = [seat.resume, seat.heard];
    this.#tick = new Worker(new URL("tick.js", import.meta.url));
    this.#tick.onmessage = () => this.probe();
    this.#connect();
  }

  close() {
    this.#end();
    this.#drop(1000);
  }

  // What the next page needs to go on with the visit.
  get seat() {
    return this.#resume && { resume: this.#resume, heard: this.#counts.heard };
  }

  // The page goes away in a call, and perhaps it is loaded again.
  leave() {
    this.#end();
    this.#drop(LOADING);
  }

  // Messages of a call may wait for a resumed socket; in a new session they make no sense.
  send(message) {
    if (!this.wanted || !this.#resume) return;
    const text = this.#counts.say(message);
    if (!text || !this.ready) return;
    this.#socket.send(text);
    if (this.#counts.enough) this.probe();
  }

  sendChunk(bytes) {
    if (this.ready) this.#socket.send(bytes);
  }

  // Asks something that the server answers at once. False: there is nobody to ask. Without an answer the socket is dead.
  ask(message) {
    if (!this.ready) return false;
    this.#patience.asked();
    this.send(message);
    return true;
  }

  probe() {
    if (!this.#patience.waits) this.ask({ type: "ping", heard: this.#counts.heard });
  }

  // While nobody hears anything, a dead socket must be found and replaced quickly.
  set hasty(on) {
    const before = this.#patience.hasty;
    this.#patience.hasty = on;
    if (on && !before) this.hurry();
  }

  // The network may be another one now.
  hurry() {
    if (!this.wanted) return;
    if (this.ready) {
      if (this.#patience.hasty) this.#patience.rest(); // the question that waits was asked with more patience
      return this.probe();
    }
    if (this.#socket && performance.now() - this.#beganAt < OLD) return;
    this.#drop(DEAD_LINK);
    this.#connect();
  }

  #silent() {
    this.#drop(DEAD_LINK);
    this.#closed(DEAD_LINK);
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#beganAt = performance.now();
    const socket = new WebSocket(new URL("/ws", location.href.replace(/^http/, "ws")), "calln.v1");
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#pauses.opened();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#closed(event.code);
    this.#socket = socket;
    this.#patience.greeting(socket);
  }

  #receive(data) {
    if (typeof data !== "string") return this.on.chunk(data);
    const message = JSON.parse(data);
    if (message.type === "welcome") return this.#greet();
    if (message.type === "hello") return this.#greeted(message);
    this.#counts.heard += 1;
    if (message.type === "pong" || message.type === "ice") this.#answered(message);
    if (message.type !== "pong") this.on.message(message);
  }

  #greet() {
    const hello = { type: "hello", token: this.token, heard: this.#counts.heard, features: CAN };
    const ticket = this.#resume && this.on.ticket(); // the server may have crashed meanwhile
    const back = this.#resume ? { resume: this.#resume, ...(ticket && { ticket }) } : {};
    this.#socket.send(JSON.stringify({ ...hello, ...back }));
  }

  #greeted(hello) {
    this.#patience.rest();
    this.#resume = hello.resume;
    this.ready = true;
    if (hello.resumed) this.#counts.confirm(hello.heard);
    else if (hello.call) this.#counts.beginAgain();
    else this.#counts.begin();
    for (const text of this.#counts.unheard) this.#socket.send(text);
    this.on.ready(hello);
  }

  #answered(message) {
    this.#patience.answered(message.type === "pong");
    if (message.type === "pong") this.#counts.confirm(message.heard);
  }

  // A dead link would report its end only after minutes: remove its handlers and go on.
  #drop(code) {
    clearTimeout(this.#timer);
    this.#patience.rest();
    this.ready = false;
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(code);
    this.#socket = null;
  }

  #closed(code) {
    this.#patience.rest();
    this.ready = false;
    this.#socket = null;
    if (FINAL.has(code)) {
      this.#end();
      return this.on.refused(code);
    }
    const seconds = this.#pauses.next(code, this.#patience.hasty);
    this.#timer = setTimeout(() => this.#connect(), 1000 * seconds);
    this.on.away(code, seconds);
  }

  #end() {
    this.wanted = false;
    this.#tick?.terminate();
    this.#resume = null;
    this.#counts.begin();
  }
}
