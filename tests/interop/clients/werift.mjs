// werift, WebRTC in TypeScript: two peers that may only meet through the relay, and what one hears of the other.
import { RTCPeerConnection } from "werift";

const [urls, username, credential, count] = process.argv.slice(2);
const settings = { iceServers: [{ urls, username, credential }], iceTransportPolicy: "relay" };
const [one, two] = [new RTCPeerConnection(settings), new RTCPeerConnection(settings)];
const channel = one.createDataChannel("words");
two.onDataChannel.subscribe((far) => far.onMessage.subscribe((words) => far.send(words)));
let heard = 0;
const all = new Promise((resolve) => {
  channel.onMessage.subscribe(() => ++heard === Number(count) && resolve());
});
channel.stateChanged.subscribe((state) => {
  for (let number = 0; state === "open" && number < count; number++) channel.send(Buffer.alloc(160, number));
});
await one.setLocalDescription(await one.createOffer());
await two.setRemoteDescription(one.localDescription);
await two.setLocalDescription(await two.createAnswer());
await one.setRemoteDescription(two.localDescription);
await all;
const kinds = [one, two].flatMap((end) => [...end.localDescription.sdp.matchAll(/ typ (\w+)/g)].map((found) => found[1]));
console.log(`heard ${heard} through ${[...new Set(kinds)]}`);
process.exit(0);
