// The WebSocket: greeting, ping, resume after a drop, and when to connect again after which close code.

const FINAL = new Set([1000, 1001, 1007, 1009, 4400, 4401, 4403, 4406, 4409]); // do not connect again
const FIRST_TRY = { 1011: 2, 1013: 2 }; // the server is in trouble: begin with a longer wait
const LONG = { 4429: 30 };
const LADDER = [0, 0.3, 1.2, 2.7, 4.8, 7]; // seconds; the last one repeats
const JITTER = 1; // after a restart, all pages connect within a second, not at once
const STABLE = 10_000; // ms that a connection must last before the waits begin at 0 again
const BACKLOG = 200; // messages that wait for a new socket: an offer, its candidates, a few lines of text
const DEAD_LINK = 4408; // "silent": the server keeps the session of a link that died, so that it can be resumed

export class Signalling {
  #socket = null;
  #resume = null;
  #backlog = [];
  #tries = 0;
  #timer = 0;
  #pingEvery = 20;
  #openedAt = 0;
  #sentAt = 0;
  #heardAt = 0;

  constructor(token, on) {
    this.token = token;
    this.on = on; // message(m), chunk(bytes), ready(hello), away(code, seconds), refused(code)
    this.wanted = false;
    this.ready = false;
    new Worker("/static/tick.js").onmessage = () => this.#tick();
    addEventListener("online", () => this.#hurry());
  }

  open() {
    if (this.wanted) return;
    this.wanted = true;
    this.#tries = 0;
    this.#connect();
  }

  close() {
    this.wanted = false;
    this.#forget();
    this.#drop(1000);
  }

  // Messages of a call may wait for a resumed socket; in a new session they make no sense.
  send(message) {
    if (this.ready) this.#write(JSON.stringify(message));
    else if (this.wanted && this.#resume && this.#backlog.length < BACKLOG) this.#backlog.push(message);
  }

  sendChunk(bytes) {
    if (this.ready) this.#write(bytes);
  }

  #write(data) {
    this.#sentAt = Date.now();
    this.#socket.send(data);
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const socket = new WebSocket(new URL("/ws", location.href.replace(/^http/, "ws")), "calln.v1");
    socket.binaryType = "arraybuffer";
    socket.onopen = () => (this.#openedAt = this.#heardAt = Date.now());
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#closed(event.code);
    this.#socket = socket;
  }

  #receive(data) {
    this.#heardAt = Date.now();
    if (typeof data !== "string") return this.on.chunk(data);
    const message = JSON.parse(data);
    if (message.type === "welcome") return this.#greet(message);
    if (message.type === "hello") return this.#greeted(message);
    if (message.type !== "pong") this.on.message(message);
  }

  #greet(welcome) {
    this.#pingEvery = welcome.ping_every;
    const hello = { type: "hello", token: this.token };
    this.#write(JSON.stringify(this.#resume ? { ...hello, resume: this.#resume } : hello));
  }

  #greeted(hello) {
    this.#resume = hello.resume;
    this.ready = true;
    const backlog = hello.resumed ? this.#backlog : [];
    this.#backlog = [];
    for (const message of backlog) this.send(message);
    this.on.ready(hello);
  }

  #tick() {
    if (!this.ready) return;
    const now = Date.now();
    if (now - this.#heardAt > 2000 * this.#pingEvery) this.#lost(DEAD_LINK);
    else if (now - this.#sentAt > 900 * this.#pingEvery - 5000) this.send({ type: "ping" });
  }

  #lost(code) {
    this.#drop(code);
    this.#closed(code);
  }

  // A dead link would report its end only after minutes: remove its handlers and go on.
  #drop(code) {
    clearTimeout(this.#timer);
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(code);
    this.#socket = null;
    this.ready = false;
  }

  #closed(code) {
    this.ready = false;
    this.#socket = null;
    if (FINAL.has(code)) {
      this.wanted = false;
      this.#forget();
      return this.on.refused(code);
    }
    if (this.#openedAt && Date.now() - this.#openedAt > STABLE) this.#tries = 0;
    this.#openedAt = 0;
    const step = Math.max(this.#tries, FIRST_TRY[code] ?? 0);
    this.#tries = step + 1;
    const seconds = LONG[code] ?? LADDER[Math.min(step, LADDER.length - 1)] + (step ? Math.random() * JITTER : 0);
    this.#timer = setTimeout(() => this.#connect(), 1000 * seconds);
    this.on.away(code, seconds);
  }

  #hurry() {
    if (this.wanted && !this.#socket) this.#connect();
  }

  #forget() {
    this.#resume = null;
    this.#backlog = [];
  }
}
