// What connections are made of, and what ICE servers and descriptions say.

const PLAIN = { bundlePolicy: "max-bundle" }; // voice and channel take one way: candidates for one are enough
const OVER = ["closed", "failed"]; // W3C webrtc §5.5

// `certificate`: the connection's key, or null for one of the browser's own. Chromium wants to hear of it each time.
export function plain(certificate) {
  return certificate ? { ...PLAIN, certificates: [certificate] } : PLAIN;
}

export function settings({ iceServers }, relay, certificate) {
  return { ...plain(certificate), iceServers, iceTransportPolicy: relay ? "relay" : "all" };
}

// Whether its encryption is over for good: no restart of ICE begins that again. Firefox ends it after an error in writing,
// and both kinds of browsers after the partner's good-bye (RFC 8446 §6.1); both show it here, while they may call the
// connection "connected", or ICE alone "failed", which can be mended.
export function isDead(pc) {
  return pc.signalingState === "closed" || pc.getSenders().some(({ transport }) => OVER.includes(transport?.state));
}

export function addVoice(pc, stream) {
  for (const track of stream.getAudioTracks()) pc.addTrack(track, stream);
}

// The name that a password is for, behind the time at which it ends. The relays are told which names are in a call.
export function userIn({ iceServers }) {
  return iceServers.map(({ username }) => username?.replace(/^\d+:/, "")).find(Boolean);
}

// What stays the same in all descriptions of one connection, and is another in those of its successor (RFC 8866 §5.2).
export function sessionIn(sdp) {
  return /^o=(\S+ \d+)/m.exec(sdp)?.[1];
}

// The partner's later offer with the part that its side has in the encryption from the beginning (RFC 8842 §5.5): offers leave
// that open, and Firefox would then always answer that it is the active side, which Chromium does not take from a passive one.
export function withItsPart(sdp, { currentLocalDescription: ours, currentRemoteDescription: theirs }) {
  const active = ours?.type === "answer" ? /^a=setup:passive/m.test(ours.sdp) : /^a=setup:active/m.test(theirs?.sdp ?? "");
  return theirs ? sdp.replace(/^a=setup:actpass/gm, `a=setup:${active ? "active" : "passive"}`) : sdp;
}

// Which relays and ways these are.
export function placesIn({ iceServers }) {
  return iceServers.flatMap(({ urls }) => urls).join(" ");
}

export function namesRelay(description) {
  return / typ relay /.test(description?.sdp ?? "");
}
