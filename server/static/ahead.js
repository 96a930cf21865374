// The connection of the next call, made before it: while one waits it has candidates and an offer, too.
// Nothing of that reaches anybody before the call.

import { takeCertificate } from "./certificate.js";
import { linkOn } from "./channel.js";
import { CHANNEL } from "./channel_messages.js";
import { freshIce } from "./fresh_ice.js";
import { addVoice, namesRelay, placesIn, plain, settings, userIn } from "./ice.js";

const BRIEFLY = 100; // ms: who is met at once needs no offer from before
const RENEW = 240_000; // ms until the offer is made anew: relays may have been restarted

class Ahead {
  #made = null; // { pc, certificate }, and with an offer its link (null in a browser without channels), relay, user and places
  #timer = 0;

  // The threads and the key of a connection take their time, as the server and the microphone do.
  open() {
    this.close();
    const certificate = takeCertificate();
    if (!certificate) return; // pressed so early that none is ready: the call will have one
    try {
      this.#made = { certificate, pc: new RTCPeerConnection(plain(certificate)) };
    } catch {
      this.#made = null; // the call will find out why
    }
  }

  // One is in the queue: who waits makes the first offer. `relay`: only relayed paths are wished for.
  wait(stream, relay) {
    if (this.#made?.relay !== relay) this.#later(BRIEFLY, stream, relay);
  }

  // The visit, or perhaps the network, is another one.
  drop() {
    if (this.#made?.link !== undefined) this.close();
  }

  close() {
    clearTimeout(this.#timer);
    this.#made?.pc.close();
    this.#made = null;
  }

  // For this call: what was made, or null where that does not suit it.
  take(matched, relay) {
    clearTimeout(this.#timer);
    const made = this.#made;
    if (made && suits(made, matched, relay)) {
      this.#made = null;
      return made;
    }
    this.close();
    return null;
  }

  #later(pause, stream, relay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#offer(stream, relay), pause);
  }

  async #offer(stream, relay) {
    this.drop();
    if (!this.#made) this.open();
    const made = this.#made;
    const ice = made && (await freshIce());
    if (!ice || made !== this.#made) return;
    addVoice(made.pc, stream);
    Object.assign(made, { link: linkOn(made.pc), relay, user: userIn(ice), places: placesIn(ice) });
    this.#later(RENEW, stream, relay);
    made.pc.setConfiguration(settings(ice, relay, made.certificate));
    await made.pc.setLocalDescription();
  }
}

export const ahead = new Ahead();

// Without an offer it suits everybody; with one, somebody who is to answer it and wishes for no other paths.
function suits({ pc, link, relay: relayed, user, places }, { polite, features, ice }, relay) {
  if (link === undefined) return true;
  const channel = link !== null && features?.includes(CHANNEL);
  if (relay && (lacksRelay(pc) || places !== placesIn(ice))) return false; // a relay may have died meanwhile
  return !polite && channel && relayed === relay && user === userIn(ice);
}

function lacksRelay({ iceGatheringState, localDescription }) {
  return iceGatheringState === "complete" && !namesRelay(localDescription);
}
