// werift, WebRTC in TypeScript: two peers that may only meet through the relay, and what one hears of the other.
import { RTCPeerConnection } from "werift";
import { say } from "./numbered.cjs";

const [urls, username, credential, count, pause] = process.argv.slice(2);
const settings = { iceServers: [{ urls, username, credential }], iceTransportPolicy: "relay" };
const [one, two] = [new RTCPeerConnection(settings), new RTCPeerConnection(settings)];
const channel = one.createDataChannel("words", { ordered: false, maxRetransmits: 0 });
two.onDataChannel.subscribe((far) => far.onMessage.subscribe((words) => far.send(words)));
const opened = new Promise((resolve) => channel.stateChanged.subscribe((state) => state === "open" && resolve()));
await one.setLocalDescription(await one.createOffer());
await two.setRemoteDescription(one.localDescription);
await two.setLocalDescription(await two.createAnswer());
await one.setRemoteDescription(two.localDescription);
await opened;
const heard = await say({
  count,
  pause,
  send: (message) => channel.send(message),
  onMessage: (take) => channel.onMessage.subscribe(take),
});
const kinds = [one, two].flatMap((end) => [...end.localDescription.sdp.matchAll(/ typ (\w+)/g)].map((found) => found[1]));
console.log(`heard ${heard} through ${[...new Set(kinds)]}`);
process.exit(0);
