// How well the voices come through, in one word and with the reason: from loss, jitter and round trip (RFC 3550, RFC 7002).

const WINDOW = 12; // looks of the pulse: some five seconds
const RANKS = ["good", "weak", "bad"];

// Below the first figure it is good, below the second weak.
const LIMITS = {
  loss: [0.03, 0.1], // of the packets that should have arrived
  theirs: [0.03, 0.1], // the same, of one's own voice at the partner
  jitter: [0.03, 0.1], // seconds
  delay: [0.4, 1], // seconds there and back
};

const audio = (stats, type) => [...stats.values()].find((one) => one.type === type && one.kind === "audio");

function roundTrip(stats) {
  const pair = [...stats.values()].find((one) => one.type === "candidate-pair" && one.nominated && one.state === "succeeded");
  return pair?.currentRoundTripTime ?? audio(stats, "remote-inbound-rtp")?.roundTripTime ?? 0;
}

// Figures that only grow.
function counts(stats) {
  const [inbound, remote] = [audio(stats, "inbound-rtp"), audio(stats, "remote-inbound-rtp")];
  return { received: inbound?.packetsReceived ?? 0, lost: inbound?.packetsLost ?? 0, theirs: remote?.packetsLost ?? 0, sent: audio(stats, "outbound-rtp")?.packetsSent ?? 0 };
}

const share = (lost, all) => (all > 0 ? Math.max(0, lost) / all : 0);

function figures(stats, now, before) {
  const [received, lost] = [now.received - before.received, now.lost - before.lost];
  return {
    loss: share(lost, received + lost),
    theirs: share(now.theirs - before.theirs, now.sent - before.sent),
    jitter: audio(stats, "inbound-rtp")?.jitter ?? 0,
    delay: roundTrip(stats),
  };
}

const rank = (figure, [weak, bad]) => (figure < weak ? 0 : figure < bad ? 1 : 2);

export class Quality {
  #past = [];
  #shown = "";

  // `show` gets ("good" | "weak" | "bad", reasons), when one of them changes.
  constructor(show) {
    this.show = show;
  }

  take(stats) {
    const now = counts(stats);
    this.#past.push(now);
    if (this.#past.length <= WINDOW) return;
    const found = figures(stats, now, this.#past.shift());
    const ranks = Object.entries(LIMITS).map(([name, limits]) => [name, rank(found[name], limits)]);
    const worst = Math.max(...ranks.map(([, one]) => one));
    this.#tell(RANKS[worst], worst ? ranks.filter(([, one]) => one === worst).map(([name]) => name) : []);
  }

  #tell(word, reasons) {
    const told = [word, ...reasons].join();
    if (told !== this.#shown) this.show(word, reasons);
    this.#shown = told;
  }
}
