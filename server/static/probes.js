// Single trials of a connection: candidates from one server, and packets there and back through the relay.

const GATHER = 8000; // ms for a server to give us an address
const OPEN = 10_000; // ms for two ends to find each other
const PACKETS = 100;
const EVERY = 20; // ms, as a voice has it
const SIZE = 160; // bytes, as a voice has it
const LATE = 1500; // ms after the last one in which an answer still counts

const after = (ms, value) => new Promise((done) => setTimeout(() => done(value), ms));

// Whether a candidate of this type comes from the server, within the time. "clean": none came, and no error did.
export async function gathers(server, type) {
  const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: type === "relay" ? "relay" : "all" });
  let failed = false;
  const found = new Promise((done) => {
    connection.onicecandidateerror = ({ errorCode }) => (failed ||= errorCode >= 300);
    connection.onicecandidate = ({ candidate }) => {
      if (candidate?.type === type) done("found");
      else if (!candidate) done(failed ? "failed" : "clean");
    };
  });
  connection.createDataChannel("");
  await connection.setLocalDescription();
  const result = await Promise.race([found, after(GATHER, "late")]);
  connection.close();
  return result;
}

async function introduce(one, other) {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.onicecandidate = ({ candidate }) => candidate && to.addIceCandidate(candidate).catch(() => {}); // of no use, then
  }
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
}

// A channel that does not repeat what gets lost, as for a voice, between two ends at the relay.
async function loop(servers) {
  const ends = [0, 1].map(() => new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: "relay" }));
  const channel = ends[0].createDataChannel("voice", { ordered: false, maxRetransmits: 0 });
  channel.binaryType = "arraybuffer";
  ends[1].ondatachannel = ({ channel: far }) => (far.onmessage = ({ data }) => far.readyState === "open" && far.send(data));
  const opened = new Promise((done) => (channel.onopen = () => done(true)));
  const closed = () => ends.forEach((end) => end.close());
  await introduce(...ends);
  return { channel, closed, open: await Promise.race([opened, after(OPEN, false)]) };
}

async function send(channel) {
  const sent = [];
  const trips = [];
  channel.onmessage = ({ data }) => trips.push(performance.now() - sent[new DataView(data).getUint32(0)]);
  for (let number = 0; number < PACKETS; number += 1) {
    const packet = new DataView(new ArrayBuffer(SIZE));
    packet.setUint32(0, number);
    sent.push(performance.now());
    channel.send(packet.buffer);
    await after(EVERY);
  }
  await after(LATE);
  return trips.sort((one, other) => one - other);
}

// { loss: 0 to 1, delay: ms there and back in the middle }, or null where no way was found.
export async function through(servers) {
  const { channel, closed, open } = await loop(servers);
  try {
    if (!open) return null;
    const trips = await send(channel);
    return { loss: 1 - trips.length / PACKETS, delay: Math.round(trips[trips.length >> 1] ?? 0) };
  } finally {
    closed();
  }
}
