// The page: what is on it is connected with what it does.

import { setUpAttention } from "./attention.js";
import { block, callBack, comeBack, follow, invited, meetAnybody, next, report, start, stop } from "./buttons.js";
import { setUpCallBack } from "./callback.js";
import { setUpComposer } from "./composer.js";
import { away, ready, receive, refused, ticket } from "./from_server.js";
import { pressedEarly } from "./early.js";
import { setUpGuard } from "./guard.js";
import { setUpInvite } from "./invite.js";
import { setUpLeaving } from "./leaving.js";
import { mediaKey } from "./mute.js";
import { become, page, share, signalling, voice } from "./page.js";
import { wishesChanged } from "./queue.js";
import { setUpSafety } from "./safety_view.js";
import { keepSeat, takeSeat } from "./seat.js";
import { at, play } from "./view.js";
import { setUpWaiting } from "./waiting.js";
import { chooseAny, setUpWishes } from "./wishes.js";
import { IDLE } from "./words.js";

Object.assign(signalling.on, { message: receive, ready, away, refused, ticket });

const CLICKS = { start: () => start(), next, stop };
for (const [id, act] of Object.entries(CLICKS)) at(id).addEventListener("click", act);
at("hear").addEventListener("click", async () => (at("hear").hidden = await play(at("sound").srcObject)));
addEventListener("pagehide", () => {
  if (page.orphan) page.partner?.bye("left"); // the server would not say it
  const seat = page.call && !page.orphan ? signalling.seat : null;
  if (seat && keepSeat({ ...seat, call: page.call.id, muted: voice.mute.muted })) signalling.leave();
  else signalling.close();
});
addEventListener("pageshow", (event) => event.persisted && location.reload()); // its call is gone
mediaKey("hangup", () => page.call && stop());
mediaKey("nexttrack", () => page.call && next());
setUpWishes(wishesChanged);
setUpWaiting({
  widen: () => chooseAny(wishesChanged),
  reunite: (agree) => signalling.send({ type: "reunite", agree }),
});
setUpAttention();
setUpCallBack(callBack);
setUpInvite({ start: () => start(), follow, drop: meetAnybody }).then(invited);
setUpGuard({ report, block });
setUpLeaving(() => page.state === "talking" || page.state === "connecting");
setUpSafety();
setUpComposer(share, () => page.state === "talking" && share.open, {
  typing: () => page.partner?.typing(),
  sent: () => page.partner?.sent(),
});
become("idle", IDLE); // until here, the buttons of the page are disabled, but for Start
comeBack(takeSeat());
if (pressedEarly()) start();
