// One call: an RTCPeerConnection with perfect negotiation (W3C webrtc §10.7), repaired by ICE restarts, or given up.

import { pathOf } from "./path.js";

const GRACE = 3000; // ms: "disconnected" often recovers by itself
const AGAIN = 10_000; // ms between two ICE restarts
const RELAY = 10_000; // ms for the relay to give us an address once it is asked; a browser alone would try for almost a minute
const GIVE_UP = 40_000; // ms without a connection, at the beginning or later

export class Call {
  #chain = Promise.resolve();
  #making = false;
  #ignoring = false;
  #relayed = 0;
  #restartTimer = 0;
  #giveUpTimer = 0;
  #relayTimer = 0;
  #key = null;
  #withFirefox = false;

  // `matched` is the server's message, `fresh` asks for new ICE servers,
  // `on` has remote(stream), connected(), shaky(), lost(why).
  constructor(matched, stream, { relay, send, fresh, on }) {
    Object.assign(this, { id: matched.call, polite: matched.polite, relay, stream, fresh, on });
    this.send = (message) => send({ ...message, call: matched.call });
    this.wasConnected = false;
    this.pc = new RTCPeerConnection({ iceServers: matched.ice.iceServers, iceTransportPolicy: relay ? "relay" : "all" });
    this.#listen();
    if (!this.polite) this.#addVoice(); // the first offer is the impolite side's
    this.#giveUpLater();
  }

  close() {
    clearTimeout(this.#relayTimer);
    clearTimeout(this.#restartTimer);
    clearTimeout(this.#giveUpTimer);
    this.on = { remote() {}, connected() {}, shaky() {}, lost() {} };
    this.pc.onnegotiationneeded = this.pc.onicecandidate = this.pc.ontrack = null;
    this.pc.onconnectionstatechange = this.pc.oniceconnectionstatechange = this.pc.onicegatheringstatechange = null;
    this.pc.close();
  }

  // Descriptions and candidates are handled one after the other, in the order of their arrival.
  receive(message) {
    this.#chain = this.#chain.then(() => this.#take(message)).catch(() => {}); // what a partner sends wrongly ends in lost()
  }

  get connected() {
    return this.pc.connectionState === "connected";
  }

  path() {
    return pathOf(this.pc);
  }

  // After the signalling has come back: until then, a restart could not be negotiated.
  recover() {
    if (this.wasConnected && !this.connected) this.#restart();
  }

  #listen() {
    const pc = this.pc;
    pc.onnegotiationneeded = () => this.#offer();
    pc.onicecandidate = ({ candidate }) => this.#found(candidate);
    pc.onicegatheringstatechange = () => this.#gathered();
    pc.ontrack = ({ track, streams }) => this.on.remote(streams[0] ?? new MediaStream([track]));
    pc.onconnectionstatechange = () => this.#changed();
    pc.oniceconnectionstatechange = () => this.#changed();
  }

  #addVoice() {
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
    const key = [...new Set(sdp.match(/^a=fingerprint:.*$/gm))].sort().join();
    this.#key ??= key;
    return key === this.#key;
  }

  async #takeOffer({ sdp }) {
    const glare = this.#making || this.pc.signalingState !== "stable";
    this.#ignoring = glare && !this.polite;
    if (this.#ignoring) return;
    if (this.pc.remoteDescription) await this.#refresh(); // a restart gathers candidates again, perhaps after the first credentials have expired
    await this.pc.setRemoteDescription({ type: "offer", sdp });
    this.#addVoice();
    await this.pc.setLocalDescription();
    this.send({ type: "answer", sdp: this.pc.localDescription.sdp });
  }

  async #takeAnswer({ sdp }) {
    if (this.pc.signalingState === "have-local-offer") await this.pc.setRemoteDescription({ type: "answer", sdp });
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

  #needRelay() {
    if (this.relay && !this.#relayed) this.on.lost("relay");
  }

  #changed() {
    if (this.connected) return this.#mended();
    if (this.pc.connectionState === "closed" || !this.wasConnected) return this.#maybeFailed();
    this.on.shaky();
    this.#giveUpLater();
    if (!this.#restartTimer) this.#restartTimer = setTimeout(() => this.#restart(), this.#failed ? 0 : GRACE);
  }

  get #failed() {
    return this.pc.connectionState === "failed" || this.pc.iceConnectionState === "failed";
  }

  #mended() {
    clearTimeout(this.#restartTimer);
    clearTimeout(this.#giveUpTimer);
    this.#restartTimer = this.#giveUpTimer = 0;
    this.wasConnected = true;
    this.on.connected();
  }

  #maybeFailed() {
    if (this.#failed && !this.#restartTimer) this.#restartTimer = setTimeout(() => this.#restart(), 0);
  }

  // Only one side restarts, so that both never do it at once: the impolite side, or Firefox if only one side is
  // Firefox. It receives nothing after a restart that Chromium offers while the old path still works.
  get #restarts() {
    const ours = isFirefox(this.pc.localDescription?.sdp ?? "");
    return ours === this.#withFirefox ? !this.polite : ours;
  }

  async #restart() {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = setTimeout(() => this.#restart(), AGAIN);
    if (this.connected || !this.#restarts) return;
    await this.#refresh();
    if (this.pc.connectionState !== "closed") this.pc.restartIce();
  }

  async #refresh() {
    const ice = await this.fresh();
    if (ice && this.pc.signalingState !== "closed") {
      this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: ice.iceServers });
    }
  }

  #giveUpLater() {
    if (this.#giveUpTimer) return;
    this.#giveUpTimer = setTimeout(() => this.on.lost(this.#why()), GIVE_UP);
  }

  #why() {
    if (this.wasConnected) return "broken";
    return this.relay && !this.#relayed ? "relay" : "unreachable";
  }
}

// The browser that wrote a description names itself in its second line (RFC 8866 §5.2).
function isFirefox(sdp) {
  return /^o=mozilla/m.test(sdp);
}
