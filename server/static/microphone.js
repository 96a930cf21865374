// The microphone: opened with Start, muted with Mute, closed at the end.

const WANTED = { audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } };

let stream = null;
let asked = 0; // counts: a microphone that is closed while the browser still asks is not opened

// Throws an error whose `name` is one of words.js, or "stale" where it was closed meanwhile.
export async function openMicrophone() {
  if (stream?.active) return stream; // a microphone that was unplugged is not active
  if (!isSecureContext || !navigator.mediaDevices) throw named("insecure");
  const mine = ++asked;
  const opened = await navigator.mediaDevices.getUserMedia(WANTED);
  if (mine === asked) return (stream = opened);
  halt(opened);
  throw named("stale");
}

export function mute(on) {
  for (const track of stream?.getAudioTracks() ?? []) track.enabled = !on;
}

export function closeMicrophone() {
  asked += 1;
  halt(stream);
  stream = null;
}

function halt(which) {
  for (const track of which?.getTracks() ?? []) track.stop();
}

function named(name) {
  return Object.assign(new Error(name), { name });
}
