// What the page is doing, and the parts that it has for it: the server, the microphone, text and pictures.

import { keepAwake } from "./awake.js";
import { showCallBack } from "./callback.js";
import { showGuard } from "./guard.js";
import { showInvite } from "./invite.js";
import { Meters } from "./meter.js";
import { token } from "./settings.js";
import { Share } from "./share.js";
import { Signalling } from "./signalling.js";
import { offerCheck, say, showState } from "./view.js";
import { Voice } from "./voice.js";
import { showWaiting } from "./waiting.js";

export const page = {
  state: "idle", call: null, talk: null, partner: null, last: null, seat: null, orphan: false, again: false,
  wanted: "start", // how the server is asked for a partner: with "next" it is not the last one again
  reported: null, // the call whose partner was reported
};
export const signalling = new Signalling(token(), { chunk: (bytes) => share.chunk(bytes) }); // main.js adds who hears the rest
export const share = new Share((message) => signalling.send(message), (bytes) => signalling.sendChunk(bytes));
export const meters = new Meters((name, level) => voice.show(name, level));
export const voice = new Voice(meters, {
  replaced: (track) => page.call?.replaceVoice(track),
  heard: (yes) => page.partner?.mute(!yes),
});

// The states: idle, waiting, connecting, talking, ended.
export function become(state, text) {
  page.state = state;
  const talking = state === "talking";
  showGuard({ block: talking, report: talking || page.last !== null, safety: talking });
  showState(state);
  showWaiting(state === "waiting");
  if (state !== "ended") offerCheck();
  showCallBack(state === "ended" || state === "waiting");
  showInvite(state);
  say(text);
  keepAwake(state === "connecting" || state === "talking");
}
