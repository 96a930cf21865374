// One call: an RTCPeerConnection with perfect negotiation (W3C webrtc §10.7), repaired or given up.

import { pathOf } from "./path.js";
import { Pulse } from "./pulse.js";
import { Repair } from "./repair.js";
import { fingerprintsIn } from "./safety_code.js";

const RELAY = 10_000; // ms for the relay to give us an address once it is asked; a browser alone would try for almost a minute
const OFTEN = 1000; // ms
const GIVE_UP = 40_000; // ms without a connection, at the beginning
const FAREWELL = 300; // ms in which the last words to the partner leave

export class Call {
  #chain = Promise.resolve();
  #making = false;
  #ignoring = false;
  #relayed = 0;
  #giveUpTimer = 0;
  #relayTimer = 0;
  #key = null;
  #withFirefox = false;
  #freshAt = 0;

  // `matched` is the server's message, `fresh` asks for new ICE servers,
  // `on` has remote(stream), connected(), voice(state) as often as the pulse is felt, lost(why); `channel` is added to
  // the connection, if there is one.
  constructor(matched, stream, { relay, send, fresh, on, channel }) {
    Object.assign(this, { id: matched.call, polite: matched.polite, relay, stream, fresh, on, channel });
    this.send = (message) => send({ ...message, call: matched.call });
    this.wasConnected = false;
    this.pc = new RTCPeerConnection({ iceServers: matched.ice.iceServers, iceTransportPolicy: relay ? "relay" : "all" });
    this.pulse = new Pulse(this.pc, (stats) => this.#felt(stats));
    this.repair = new Repair(this);
    this.#listen();
    if (!this.polite) this.#addMedia(); // the first offer is the impolite side's
    this.#giveUpTimer = setTimeout(() => this.on.lost(this.#relayMissing ? "relay" : "unreachable"), GIVE_UP);
  }

  close() {
    clearTimeout(this.#relayTimer);
    clearTimeout(this.#giveUpTimer);
    this.pulse.stop();
    this.on = { remote() {}, connected() {}, voice() {}, lost() {} };
    this.pc.onnegotiationneeded = this.pc.onicecandidate = this.pc.ontrack = null;
    this.pc.onconnectionstatechange = this.pc.oniceconnectionstatechange = this.pc.onicegatheringstatechange = null;
    this.pc.ondatachannel = null;
    if (!this.channel?.open) return this.pc.close();
    for (const sender of this.pc.getSenders()) sender.replaceTrack(null).catch(() => {}); // silent at once
    setTimeout(() => this.pc.close(), FAREWELL);
  }

  // Descriptions and candidates are handled one after the other, in the order of their arrival.
  receive(message) {
    this.#chain = this.#chain.then(() => this.#take(message)).catch(() => {}); // what a partner sends wrongly ends in lost()
  }

  get connected() {
    return this.pc.connectionState === "connected";
  }

  // The fingerprints in both descriptions; the browser accepts no other key than the partner's.
  get keys() {
    return { own: fingerprintsIn(this.pc.localDescription.sdp), partner: this.#key };
  }

  // Another microphone, or a track without sound.
  replaceVoice(track) {
    for (const sender of this.pc.getSenders()) sender.replaceTrack(track);
  }

  path() {
    return pathOf(this.pc);
  }

  #listen() {
    const pc = this.pc;
    pc.onnegotiationneeded = () => this.#offer();
    pc.onicecandidate = ({ candidate }) => this.#found(candidate);
    pc.onicegatheringstatechange = () => this.#gathered();
    pc.ondatachannel = () => this.on.lost("odd"); // no page of ours opens one: a partner could open thousands
    pc.ontrack = ({ track, streams }) => this.on.remote(streams[0] ?? new MediaStream([track]));
    pc.onconnectionstatechange = () => this.#changed();
    pc.oniceconnectionstatechange = () => this.#changed();
  }

  #addMedia() {
    this.channel?.join(this.pc);
    if (this.pc.getSenders().some((sender) => sender.track)) return;
    for (const track of this.stream.getAudioTracks()) this.pc.addTrack(track, this.stream);
  }

  async #offer() {
    try {
      this.#making = true;
      await this.pc.setLocalDescription();
      this.send({ type: "offer", sdp: this.pc.localDescription.sdp });
    } finally {
      this.#making = false;
    }
  }

  #take(message) {
    if (message.sdp && !this.#sameKey(message.sdp)) return this.on.lost("changed");
    if (message.sdp) this.#withFirefox = isFirefox(message.sdp); // Chromium removes this line from remote descriptions
    return { offer: this.#takeOffer, answer: this.#takeAnswer, candidate: this.#takeCandidate }[message.type].call(this, message);
  }

  // A key that changes during a call means that somebody has come between the two.
  #sameKey(sdp) {
    const key = fingerprintsIn(sdp);
    this.#key ??= key;
    return key !== null && key === this.#key;
  }

  async #takeOffer({ sdp }) {
    const glare = this.#making || this.pc.signalingState !== "stable";
    this.#ignoring = glare && !this.polite;
    if (this.#ignoring) return;
    if (this.pc.remoteDescription) await this.#refresh(); // a restart gathers candidates again, perhaps after the first credentials have expired
    await this.pc.setRemoteDescription({ type: "offer", sdp });
    this.#addMedia();
    await this.pc.setLocalDescription();
    this.send({ type: "answer", sdp: this.pc.localDescription.sdp });
    this.repair.negotiated();
  }

  async #takeAnswer({ sdp }) {
    if (this.pc.signalingState !== "have-local-offer") return;
    await this.pc.setRemoteDescription({ type: "answer", sdp });
    this.repair.negotiated();
  }

  async #takeCandidate({ candidate }) {
    if (!this.#ignoring) await this.pc.addIceCandidate(candidate ?? undefined);
  }

  #found(candidate) {
    if (candidate?.type === "relay") this.#relayed += 1;
    if (!candidate?.candidate) return this.send({ type: "candidate", candidate: null });
    const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
    const about = usernameFragment ? { usernameFragment } : {};
    this.send({ type: "candidate", candidate: { candidate: candidate.candidate, sdpMid, sdpMLineIndex, ...about } });
  }

  // The polite side asks the relay only after the first offer, which may take its time on a busy machine.
  #gathered() {
    if (this.pc.iceGatheringState === "complete") this.#needRelay();
    else if (this.pc.iceGatheringState === "gathering") this.#relayTimer ||= setTimeout(() => this.#needRelay(), RELAY);
  }

  get #relayMissing() {
    return this.relay && !this.#relayed;
  }

  #needRelay() {
    if (this.#relayMissing) this.on.lost("relay");
  }

  #changed() {
    if (!this.connected || this.wasConnected) return;
    clearTimeout(this.#giveUpTimer);
    this.wasConnected = true;
    this.on.connected();
  }

  #felt(stats) {
    if (this.repair.look()) this.on.lost("broken");
    else if (this.wasConnected) this.on.voice(this.pulse.state, stats);
  }

  // Who restarts ICE first, so that both never do it at once: the impolite side, or Firefox if only one side is
  // Firefox. It receives nothing after a restart that Chromium offers while the old path still works.
  get isFirst() {
    const ours = isFirefox(this.pc.localDescription?.sdp ?? "");
    return ours === this.#withFirefox ? !this.polite : ours;
  }

  // Not more than once a second, however many offers a partner sends.
  async #refresh() {
    if (performance.now() - this.#freshAt < OFTEN) return;
    this.#freshAt = performance.now();
    const ice = await this.fresh();
    if (ice && this.pc.signalingState !== "closed") {
      this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: ice.iceServers });
    }
  }
}

// The first connection of a page takes the browser longer: its threads are started while one still waits.
export function warmUp() {
  new RTCPeerConnection().close();
}

// The browser that wrote a description names itself in its second line (RFC 8866 §5.2).
function isFirefox(sdp) {
  return /^o=mozilla/m.test(sdp);
}
