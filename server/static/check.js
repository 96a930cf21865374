// The page that checks the connection: one check after the other, what to do, and a report without any address.

import { ADVICE, ALL_GOOD, COPIED, NAMES, NO_CALLS, STATES, WITH_CARE } from "./check_words.js";
import { gathers, through } from "./probes.js";
import { token } from "./settings.js";
import { Signalling } from "./signalling.js";

const ANSWER = 10_000; // ms for the server
const LOSS = 0.03; // of the packets; more makes a voice stumble
const DELAY = 600; // ms there and back, through the relay twice
const RELAYED = ["stun", "udp", "tcp", "tls"]; // what the relay is asked for
const FOUND = { found: "good", clean: "unused" }; // Firefox asks for TURN over TLS only by a name, and says nothing else
const CALM = ["good", "none", "unused"]; // states that need no advice
const WAYS = { udp: /^turn:.*transport=udp/, tcp: /^turn:.*transport=tcp/, tls: /^turns:/ };

const at = (id) => document.getElementById(id);
const results = new Map(); // name -> [state, detail]
let servers = [];

// Each returns its state and a detail without words, for the report.
const CHECKS = {
  browser: async () => {
    if (!window.RTCPeerConnection) return ["bad"];
    const connection = new RTCPeerConnection();
    connection.addTransceiver("audio");
    const { sdp } = await connection.createOffer();
    connection.close();
    return [/opus/i.test(sdp) ? "good" : "bad"];
  },
  microphone: async () => {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const [track] = stream.getAudioTracks();
    const state = track.muted ? "bad" : "good";
    track.stop();
    return [state, track.muted ? "muted" : ""];
  },
  server: async () => {
    const began = performance.now();
    servers = await ask();
    return servers ? ["good", `${Math.round(performance.now() - began)} ms`] : ["bad"];
  },
  stun: async () => {
    const urls = urlsOf(/^stun:/);
    if (!urls.length) return ["none"];
    const found = await gathers({ urls }, "srflx");
    return [["found", "clean"].includes(found) ? "good" : "weak", found];
  },
  udp: () => way("udp"),
  tcp: () => way("tcp"),
  tls: () => way("tls"),
  path: async () => {
    const found = await through(servers);
    if (!found) return ["bad"];
    const good = found.loss <= LOSS && found.delay <= DELAY;
    return [good ? "good" : "weak", `${Math.round(100 * found.loss)} % lost, ${found.delay} ms`];
  },
};

// New credentials from the server, as a call gets them. Null without an answer.
function ask() {
  return new Promise((done) => {
    const end = (found) => {
      signalling.close();
      done(found);
    };
    const message = ({ type, ice }) => type === "ice" && end(ice.iceServers);
    const on = { message, ready: () => signalling.ask({ type: "ice" }), refused: () => end(null), away() {}, chunk() {} };
    const signalling = new Signalling(token(), on);
    signalling.open();
    setTimeout(() => end(null), ANSWER);
  });
}

const urlsOf = (pattern) => servers.flatMap(({ urls }) => urls).filter((url) => pattern.test(url));

async function way(name) {
  const urls = urlsOf(WAYS[name]);
  if (!urls.length) return ["none"];
  const { username, credential } = servers.find((one) => one.credential);
  const found = await gathers({ urls, username, credential }, "relay");
  const ports = new Set(urls.map((url) => /:(\d+)\?/.exec(url)?.[1]));
  return [FOUND[found] ?? "bad", `port ${[...ports].join(", ")}: ${found}`];
}

function row(name) {
  const line = document.createElement("li");
  line.id = `check-${name}`;
  at("checks").append(line);
  return line;
}

function show(name, state, advice = "") {
  const line = at(`check-${name}`) ?? row(name);
  line.dataset.state = state;
  line.textContent = `${NAMES[name]}: ${STATES[state]}${advice && ` — ${advice}`}`;
}

async function run(name) {
  show(name, "running");
  let found;
  try {
    found = await CHECKS[name]();
  } catch (error) {
    found = ["bad", error.name];
  }
  results.set(name, found);
  show(name, found[0], ["weak", "bad"].includes(found[0]) ? ADVICE[name] : "");
  return found[0] !== "bad";
}

async function begin() {
  at("begin").disabled = true;
  at("checks").replaceChildren();
  at("report-part").hidden = true;
  at("verdict").textContent = at("copied").textContent = "";
  results.clear();
  const possible = (await run("browser")) & (await run("microphone"));
  if ((await run("server")) && window.RTCPeerConnection) await relay();
  conclude(possible);
  at("begin").disabled = false;
}

async function relay() {
  await Promise.all(RELAYED.map(run)); // a way that is blocked takes its time
  if (Object.keys(WAYS).some((name) => results.get(name)[0] === "good")) await run("path");
  else noWay();
}

// It may be the network or the relay: then nothing is said of the single ways but that they do not work.
function noWay() {
  for (const [name, [state]] of results) if (RELAYED.includes(name)) show(name, state);
  results.set("path", ["bad"]);
  show("path", "bad", ADVICE.relay);
}

function line(name) {
  const [state, detail] = results.get(name);
  return `${name}: ${state}${detail ? ` (${detail})` : ""}`;
}

function conclude(possible) {
  const states = [...results.values()].map(([state]) => state);
  const works = possible && results.get("server")[0] === "good" && results.get("path")?.[0] !== "bad";
  const good = states.every((state) => CALM.includes(state));
  at("verdict").textContent = good ? ALL_GOOD : works ? WITH_CARE : NO_CALLS;
  const lines = Object.keys(CHECKS).filter((name) => results.has(name)).map(line);
  at("result").value = [`Calln check, ${new Date().toISOString()}`, navigator.userAgent, ...lines].join("\n");
  at("report-part").hidden = false;
}

at("begin").addEventListener("click", begin);
at("copy").addEventListener("click", async () => {
  at("result").select();
  await navigator.clipboard?.writeText(at("result").value);
  at("copied").textContent = COPIED;
});
