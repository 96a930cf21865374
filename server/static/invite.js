// Calls by link: the secret behind the # of the address. It is never sent; the server sees its hash.

import { at } from "./view.js";
import { INVITE } from "./words.js";

const BYTES = 16; // of the secret: nobody guesses 128 bits
const SECRET = /^#call=([A-Za-z0-9_-]{22})$/;

// How this site lets people meet: "random", "link" or "both".
export const matching = document.body.dataset.matching;

let secret = null;
let link = null;
let shown = "";
let known = null; // resolves when the address has been read

// Until then nobody may be looked for: a link must not lead to anybody else.
export const linkKnown = () => known;

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

// What `start` and `next` tell the server.
export const linked = () => (link ? { link } : {});

// Calls start() for a new invitation, follow() for another link in the address, drop() to meet anybody instead.
export function setUpInvite({ start, follow, drop }) {
  at("invite").addEventListener("click", async () => {
    await use(base64url(crypto.getRandomValues(new Uint8Array(BYTES))));
    start();
    at("copy").focus();
  });
  at("copy").addEventListener("click", copy);
  at("share").hidden = !navigator.share;
  at("share").addEventListener("click", () => navigator.share({ url: address() }).catch(() => {})); // closed without a choice
  at("unlink").addEventListener("click", drop);
  addEventListener("hashchange", async () => follow(await read()));
  known = read();
  return known;
}

// Resolves to whether the address holds a link.
async function read() {
  const found = matching === "random" || !crypto.subtle ? null : location.hash.match(SECRET);
  if (!found) secret = link = null;
  else if (found[1] !== secret) await use(found[1]);
  return found !== null;
}

async function use(found) {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(found));
  secret = found;
  link = base64url(new Uint8Array(hash));
  history.replaceState(null, "", address());
  at("address").value = address();
}

export function dropLink() {
  if (!link) return;
  secret = link = null;
  history.replaceState(null, "", location.pathname + location.search);
  showInvite(shown);
}

function address() {
  return new URL(`#call=${secret}`, location.origin + location.pathname).href;
}

// What fits each state of the page.
export function showInvite(state) {
  shown = state;
  const calm = state === "idle" || state === "ended";
  at("invite").hidden = !calm || link !== null || matching === "random" || !crypto.subtle;
  at("invitation").hidden = !link || !(calm || state === "waiting");
  at("unlink").hidden = matching !== "both";
  at("start").hidden = matching === "link" && !link;
  at("next").hidden = matching === "link";
  at("copied").textContent = "";
}

async function copy() {
  try {
    await navigator.clipboard.writeText(address());
    at("copied").textContent = INVITE.copied;
  } catch {
    at("address").select();
    at("copied").textContent = INVITE.byHand;
  }
}
