// What a person does: Start, Next, Stop, and the smaller buttons beside them.

import { ahead } from "./ahead.js";
import { forgetCallBack } from "./callback.js";
import { end, forgetLast, goIdle, leave } from "./ending.js";
import { dropLink, linkKnown, matching, showInvite } from "./invite.js";
import { become, page, share, signalling, voice } from "./page.js";
import { queue } from "./queue.js";
import { rulesAccepted } from "./rules.js";
import { say, trouble } from "./view.js";
import * as words from "./words.js";

export async function start(how = "start") {
  if (page.state !== "idle" && page.state !== "ended") return;
  if (!rulesAccepted(() => start(how))) return;
  forgetLast();
  if (!window.RTCPeerConnection) return trouble(words.NO_WEBRTC);
  become("waiting", words.ASKING);
  ahead.open();
  await linkKnown();
  page.wanted = how;
  signalling.open(); // it takes its time, as the microphone does
  if (await listen()) queue(how);
}

// Whether there is a microphone.
async function listen() {
  try {
    await voice.open();
  } catch ({ name }) {
    if (name !== "stale") goIdle(words.MICROPHONE[name] ?? words.MICROPHONE.other);
    return false;
  }
  return true;
}

// The page was loaded again in the middle of a call.
export async function comeBack(seat) {
  if (!seat) return;
  become("waiting", words.COMING_BACK);
  page.seat = seat;
  page.again = true;
  if (seat.muted) voice.mute.toggle();
  if (await listen()) signalling.open(seat);
}

export function next() {
  if (page.state === "waiting" || matching === "link") return;
  dropLink(); // Next is for somebody else
  if (page.state === "ended") return start("next");
  page.partner?.bye("next");
  leave();
  forgetLast();
  become("waiting", words.REACHING);
  queue("next");
}

export function stop() {
  trouble();
  if (page.state === "waiting") return goIdle();
  page.partner?.bye("left");
  signalling.send({ type: "stop" });
  leave();
  share.forget();
  end(words.STOPPED);
}

export function callBack() {
  if (page.state !== "waiting") return start("call-back");
  queue("call-back");
}

export function report(reason) {
  page.reported = page.call?.id ?? page.last;
  signalling.send({ type: "report", call: page.reported, reason });
  forgetCallBack();
}

export function block() {
  signalling.send({ type: "block", call: page.call.id });
}

// The address holds a link.
export function invited(yes) {
  showInvite(page.state);
  if (yes && page.state === "idle") say(words.INVITE.invited);
}

// Another link was put into the address.
export function follow(yes) {
  invited(yes);
  if (yes && page.state === "waiting") queue("next");
}

export function meetAnybody() {
  dropLink();
  if (page.state === "waiting") queue("next");
  else if (page.state === "idle") say(words.IDLE);
}
