// How a call begins: from the server's `matched` until the two are connected.

import { ahead } from "./ahead.js";
import { Call } from "./call.js";
import { forgetCallBack } from "./callback.js";
import { CHANNEL } from "./channel_messages.js";
import { lost, parted } from "./ending.js";
import { freshIce } from "./fresh_ice.js";
import { keepOfflinePage } from "./installed.js";
import { become, meters, page, share, signalling, voice } from "./page.js";
import { Partner } from "./partner.js";
import { showSafety } from "./safety_view.js";
import { relayForced } from "./settings.js";
import { Talk } from "./talk.js";
import { at, play, showFacts } from "./view.js";
import { CONNECTING, SOON } from "./words.js";

export function begin(matched) {
  const both = matched.features?.includes(CHANNEL);
  page.partner = both ? new Partner(share, { left: parted, first: !matched.polite, keys: () => page.call.keys }) : null;
  page.call = made(matched); // before all that is shown: the partner waits for its offer
  if (!both) showSafety(null);
  forgetCallBack();
  share.begin(matched.call, page.partner?.channel, page.again);
  if (page.again) voice.mute.show();
  else voice.mute.reset();
  page.again = false;
  page.orphan = false;
  showFacts({ seconds: 0, path: null, from: matched.country });
  become("connecting", CONNECTING);
  if (!page.call) lost("unable");
}

function made(matched) {
  const relay = matched.relay || relayForced;
  try {
    return new Call(matched, voice.stream, {
      relay,
      made: ahead.take(matched, relay),
      send: (message) => signalling.send(message),
      fresh: freshIce,
      on: { remote: hear, connected, voice: (state, stats) => page.talk.voice(state, stats), lost },
      channel: page.partner?.channel,
    });
  } catch {
    return null;
  }
}

async function hear(stream) {
  meters.listen("partner", stream);
  at("hear").hidden = await play(stream);
}

function connected() {
  const { call } = page;
  become("talking", SOON);
  keepOfflinePage();
  page.talk = new Talk(call, {
    path: (path) => signalling.send({ type: "connected", call: call.id, path }),
    silent: (yes) => (signalling.hasty = yes),
  });
}
