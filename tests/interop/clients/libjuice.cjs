// libjuice by way of node-datachannel: two peers that may only meet through the relay, and what one hears.
const { PeerConnection } = require("node-datachannel");
const { say } = require("./numbered.cjs");

const [hostname, port, username, password, count, pause] = process.argv.slice(2);
const server = { hostname, port: Number(port), username, password, relayType: "TurnUdp" };
// It would find a short cut that spares the relay if it were where the relay is: with an address of its own it has
// no permission at the other's.
const settings = { iceServers: [server], iceTransportPolicy: "relay", bindAddress: "127.0.0.4" };
const [one, two] = ["one", "two"].map((name) => new PeerConnection(name, settings));
for (const [from, to] of [[one, two], [two, one]]) {
  from.onLocalDescription((sdp, type) => to.setRemoteDescription(sdp, type));
  from.onLocalCandidate((candidate, mid) => to.addRemoteCandidate(candidate, mid));
}
let far;
two.onDataChannel((channel) => {
  far = channel;
  far.onMessage((words) => far.sendMessageBinary(Buffer.from(words)));
});
const channel = one.createDataChannel("words", { unordered: true, maxRetransmits: 0 });
const send = (message) => channel.sendMessageBinary(message);
channel.onOpen(async () => {
  const heard = await say({ count, pause, send, onMessage: (take) => channel.onMessage(take) });
  const { local, remote } = one.getSelectedCandidatePair();
  console.log(`heard ${heard} through ${[...new Set([local.type, remote.type])]}`);
  process.exit(0);
});
