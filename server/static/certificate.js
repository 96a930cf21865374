// The key of the next call, kept ready: a connection that has to take the place of another one has the same key.

const KIND = { name: "ECDSA", namedCurve: "P-256" }; // what browsers take by themselves
const LEFT = 86_400_000; // ms that one must still be valid: a page may have been open for a month

let spare = null;

async function make() {
  spare = null;
  spare = (await globalThis.RTCPeerConnection?.generateCertificate?.(KIND).catch(() => null)) ?? null;
}

// For one call and never for two, so that nobody recognizes a visitor by it. Null where none is ready: then the browser
// makes one of its own, and the call's connection can have no successor.
export function takeCertificate() {
  const taken = spare?.expires > Date.now() + LEFT ? spare : null;
  make();
  return taken;
}

make();
