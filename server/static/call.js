// One call: an RTCPeerConnection with perfect negotiation (W3C webrtc §10.7), repaired or given up.

import { takeCertificate } from "./certificate.js";
import { addVoice, isDead, namesRelay, placesIn, plain, sessionIn, settings, withItsPart } from "./ice.js";
import { Pace } from "./pace.js";
import { pathOf } from "./path.js";
import { Pulse } from "./pulse.js";
import { Repair } from "./repair.js";
import { fingerprintsIn } from "./safety_code.js";

const RELAY = 10_000; // ms for the relay to give us an address once it is asked; a browser alone would try for almost a minute
const COURTESY = 1500; // ms more for the polite side: where neither reaches the relay, one says so and the other hears of it
const OFTEN = 1000; // ms
const GIVE_UP = 40_000; // ms without a connection, at the beginning
const RENEWALS = [0.2, 5]; // new connections that a partner may want: a second, and at once
const FAREWELL = 300; // ms in which the last words to the partner leave

export class Call {
  #chain = Promise.resolve();
  #making = false;
  #ignoring = false;
  #relayed = false;
  #giveUpTimer = 0;
  #relayTimer = 0;
  #courtesyTimer = 0;
  #key = null;
  #session = null; // of the partner's last description
  #settings;
  #broken = false; // the connection has not taken a description, and takes perhaps no other one
  #renewals = new Pace(...RENEWALS);
  #withFirefox = false;
  #freshAt = 0;

  // `matched` is the server's message, `fresh` asks for new ICE servers,
  // `on` has remote(stream), connected(), voice(state) as often as the pulse is felt, lost(why); `channel` is added to
  // the connection, if there is one. `made`: what was made ahead.
  constructor(matched, stream, { relay, send, fresh, on, channel, made }) {
    Object.assign(this, { id: matched.call, polite: matched.polite, ticket: matched.ticket, relay, stream, fresh, on, channel });
    this.send = (message) => send({ ...message, call: matched.call });
    this.wasConnected = false;
    this.certificate = made?.certificate ?? takeCertificate();
    this.#settings = settings(matched.ice, relay, this.certificate);
    this.pc = made?.pc ?? new RTCPeerConnection(plain(this.certificate));
    this.early = this.pc.localDescription !== null; // whether its offer was made before
    if (made?.link) this.#takeOver(made.link);
    else this.pc.setConfiguration(this.#settings);
    this.pulse = new Pulse(this.pc, (stats) => this.#felt(stats));
    this.repair = new Repair(this);
    this.#listen();
    if (!this.polite) this.#begin(); // the first offer is the impolite side's
    this.#giveUpTimer = setTimeout(() => this.on.lost(this.#relayMissing ? "relay" : "unreachable"), GIVE_UP);
  }

  close() {
    clearTimeout(this.#relayTimer);
    clearTimeout(this.#courtesyTimer);
    clearTimeout(this.#giveUpTimer);
    this.pulse.stop();
    this.repair.end();
    this.on = { remote() {}, connected() {}, voice() {}, lost() {} };
    this.#ignore();
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
    for (const sender of this.pc.getSenders()) if (sender.track !== track) sender.replaceTrack(track);
  }

  path() {
    return pathOf(this.pc);
  }

  // The server names other relays, unasked: one of those before has died. If it was ours, they are tried at once.
  offered(ice) {
    if (this.isFirst && placesIn(ice) !== placesIn(this.#settings)) this.repair.hurry();
  }

  // A new path for the connection, or a new connection where this one is over, or of no use although it stands (`anew`).
  restart(ice, anew) {
    this.#configure(ice);
    const over = () => this.dead || (anew && this.certificate !== null && this.pulse.state === "silent");
    if (!over()) this.pc.restartIce();
    else this.#chain = this.#chain.then(() => over() && this.#renew()).catch(() => {}); // else the partner came first
  }

  // Whether only a new connection helps, and there can be one.
  get dead() {
    return this.certificate !== null && (this.#broken || isDead(this.pc));
  }

  #renew() {
    this.#replace();
    this.#addMedia();
    return this.#offer();
  }

  // A connection with the same key, so that the partner's page and the safety code stay content.
  #replace() {
    this.#ignore();
    this.channel?.leave();
    this.pc.close();
    this.pc = new RTCPeerConnection(this.#settings);
    this.#broken = false;
    this.pulse.follow(this.pc);
    this.#listen();
  }

  #configure(ice) {
    this.#settings = settings(ice, this.relay, this.certificate);
    if (this.pc.signalingState !== "closed") this.pc.setConfiguration(this.#settings);
  }

  #ignore() {
    this.pc.onnegotiationneeded = this.pc.onicecandidate = this.pc.ontrack = null;
    this.pc.onconnectionstatechange = this.pc.oniceconnectionstatechange = this.pc.onicegatheringstatechange = null;
    this.pc.ondatachannel = null;
  }

  #listen() {
    const pc = this.pc;
    pc.onnegotiationneeded = () => pc.remoteDescription && this.#offer();
    pc.onicecandidate = ({ candidate }) => this.#found(candidate);
    pc.onicegatheringstatechange = () => this.#gathered();
    pc.ondatachannel = () => this.on.lost("odd"); // no page of ours opens one: a partner could open thousands
    pc.ontrack = ({ track, streams }) => this.on.remote(streams[0] ?? new MediaStream([track]));
    pc.onconnectionstatechange = () => this.#changed();
    pc.oniceconnectionstatechange = () => this.#changed();
  }

  #takeOver(link) {
    this.channel.join(this.pc, link);
    this.replaceVoice(this.stream.getAudioTracks()[0]); // another one was chosen meanwhile
  }

  #begin() {
    if (!this.early) {
      this.#addMedia();
      return this.#offer();
    }
    this.#sayOffer();
    if (this.pc.iceGatheringState === "complete") this.#found(null);
    else this.#gathered();
  }

  #addMedia() {
    if (!this.pc.getSenders().some((sender) => sender.track)) addVoice(this.pc, this.stream);
    this.channel?.join(this.pc);
  }

  async #offer() {
    try {
      this.#making = true;
      await this.pc.setLocalDescription();
      this.#sayOffer();
    } finally {
      this.#making = false;
    }
  }

  #sayOffer() {
    this.#relayed ||= namesRelay(this.pc.localDescription);
    this.send({ type: "offer", sdp: this.pc.localDescription.sdp });
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
    const another = this.#session !== null && sessionIn(sdp) !== this.#session; // the partner has a new connection
    this.#ignoring = this.#insists(another) || (another && !this.#mayReplace());
    if (this.#ignoring) return;
    if (this.#session) await this.#refresh(); // a restart gathers candidates again, perhaps after the first credentials have expired
    if (another) this.#replace();
    await this.#apply({ type: "offer", sdp: withItsPart(sdp, this.pc) });
    this.#addMedia();
    await this.pc.setLocalDescription();
    this.send({ type: "answer", sdp: this.pc.localDescription.sdp });
    this.repair.negotiated();
  }

  // Where two offers cross, one for a new connection wins; between two of a kind, the polite side gives way.
  #insists(another) {
    if (!this.#making && this.pc.signalingState !== "have-local-offer") return false;
    return this.#renewed === another ? !this.polite : this.#renewed;
  }

  // Whether the connection is a new one that the partner has not answered.
  get #renewed() {
    return this.#session !== null && !this.pc.remoteDescription;
  }

  #mayReplace() {
    return this.certificate !== null && this.#renewals.take();
  }

  async #takeAnswer({ sdp }) {
    if (this.pc.signalingState !== "have-local-offer") return;
    if (this.#renewed && sessionIn(sdp) === this.#session) return; // it is for the connection before
    this.#ignoring = false; // its candidates are for our offer
    await this.#apply({ type: "answer", sdp });
    this.repair.negotiated();
  }

  async #apply(description) {
    this.#session = sessionIn(description.sdp);
    await this.pc.setRemoteDescription(description).catch((error) => {
      this.#broken = true;
      throw error;
    });
  }

  async #takeCandidate({ candidate }) {
    if (!this.#ignoring) await this.pc.addIceCandidate(candidate ?? undefined);
  }

  #found(candidate) {
    if (candidate?.type === "relay") this.#relayed = true;
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
    const giveUp = () => this.#relayMissing && this.on.lost("relay");
    if (this.polite) this.#courtesyTimer ||= setTimeout(giveUp, COURTESY);
    else giveUp();
  }

  #changed() {
    if (!this.connected || this.wasConnected) return;
    clearTimeout(this.#giveUpTimer);
    this.wasConnected = true;
    this.pulse.begin();
    this.on.connected();
  }

  #felt(stats) {
    this.channel?.look(this.pulse.state !== "silent");
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
    if (ice) this.#configure(ice);
  }
}

// The browser that wrote a description names itself in its second line (RFC 8866 §5.2).
function isFirefox(sdp) {
  return /^o=mozilla/m.test(sdp);
}
