// The wait for a partner: how long it is, how many are here, why nobody fits yet, and what one can do about it.

import { coverCallBack } from "./callback.js";
import { at } from "./view.js";
import { about, clock, WHY } from "./words.js";

const REUNION = ["again", "asked", "agreed"]; // the one who was just met can be met again at once
const ASK_AFTER = 10_000; // ms in which somebody else may come, before the person just met is offered again

let since = 0;
let timer = 0;
let last = null; // what the server said last
let agreed = null; // the own answer, for as long as one waits

// `widen` asks for any country, `reunite(agree)` tells the server the answer.
export function setUpWaiting({ widen, reunite }) {
  at("widen").addEventListener("click", widen);
  at("reunite").addEventListener("click", () => answer(true, reunite));
  at("decline").addEventListener("click", () => answer(false, reunite));
}

function answer(agree, reunite) {
  agreed = agree;
  reunite(agree);
  show();
}

export function showWaiting(waiting) {
  if (waiting === !at("wait").hidden) return;
  clearInterval(timer);
  last = agreed = null;
  at("wait").hidden = !waiting;
  coverCallBack(false);
  if (!waiting) return;
  since = performance.now();
  timer = setInterval(show, 1000);
  show();
}

// The server's `queue`; null: not in the queue.
export function takeNews(news) {
  last = news;
  show();
}

function reason() {
  if (last?.why !== "parted") return last?.why;
  if (agreed) return "agreed";
  if (last.asked) return "asked";
  return performance.now() - since >= ASK_AFTER ? "again" : "parted";
}

function show() {
  const why = reason();
  at("waited").textContent = clock((performance.now() - since) / 1000);
  for (const place of document.querySelectorAll("#wait .crowd")) place.hidden = !last || why === "link";
  at("here").textContent = about(last?.here ?? 0);
  at("queued").textContent = about(last?.waiting ?? 0);
  explain(WHY[why] ?? "");
  at("wait").dataset.why = why ?? "";
  offer("widen", why === "wish");
  offer("reunite", why === "again" || why === "asked");
  coverCallBack(REUNION.includes(why));
  offer("decline", why === "reunion" && agreed === null);
}

// The same sentence is not set again: a screen reader would say it again.
function explain(text) {
  if (at("why").textContent !== text) at("why").textContent = text;
}

// A button that goes away must not take the keyboard focus with it.
function offer(id, wanted) {
  const focused = document.activeElement === at(id);
  at(id).hidden = !wanted;
  if (!wanted && focused) at("stop").focus();
}
