// New addresses and passwords of the relays, asked from the server in a call, or for the next one.

import { signalling } from "./page.js";

let take = null; // who has asked

// Null while the server is away: then a call goes on with what it has, and repairs nothing. Who waits asks later.
export function freshIce() {
  return new Promise((done) => {
    takeIce(null);
    take = done;
    if (!signalling.ask({ type: "ice" })) done(null);
  });
}

// The server's answer; null: none will come. Returns whether somebody has waited for it.
export function takeIce(ice) {
  const asked = take !== null;
  take?.(ice);
  take = null;
  return asked;
}
