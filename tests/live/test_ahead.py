"""Who waits has an offer ready for the next call. It must fit that call, and nobody gets it before."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.live.browsers import Browsers
from tests.live.conftest import Visit
from tests.live.said import kind_of
from tests.live.service import Service
from tests.live.visitors import Visitor, hear, start

pytestmark = pytest.mark.asyncio(loop_scope="module")

READY = """() => {
  const { iceGatheringState, signalingState } = watched.connections.at(-1);
  return iceGatheringState === "complete" && signalingState === "have-local-offer";
}"""
POLICY = "(policy) => watched.connections.at(-1).getConfiguration().iceTransportPolicy === policy"
OPEN = "watched.connections.filter((one) => one.signalingState !== 'closed').length"
UNPLUG = """() => {
  for (const track of watched.microphone.getTracks()) {
    track.stop();
    track.dispatchEvent(new Event("ended"));
  }
}"""


def told(visitor: Visitor) -> Iterator[str]:
    """The addresses that a page has sent to the server for its partner."""
    for message in (*visitor.said("offer"), *visitor.said("answer")):
        yield from (line for line in message["sdp"].split("\r\n") if line.startswith("a=candidate:"))
    yield from (str(message["candidate"]) for message in visitor.said("candidate"))


async def get_ready(visitor: Visitor) -> None:
    await start([visitor])
    await visitor.until_says("Looking for somebody")
    await visitor.until(READY)


async def meet(one: Visitor, other: Visitor) -> None:
    await other.press("Start")
    for visitor in (one, other):
        await visitor.until_state("talking")
    await hear(one, other)


@pytest.mark.parametrize("path", ["", "?relay=1"])
async def test_the_offer_was_made_before_and_is_used(visit: Visit, path: str) -> None:
    one, other = await visit(path), await visit(path)
    await get_ready(one)
    assert list(told(one)) == []
    await meet(one, other)
    assert "\r\na=candidate:" in one.said("offer")[0]["sdp"]
    assert await one.page.evaluate("watched.connections.length") == 1


async def test_a_firefox_that_waits_is_ready_too(browsers: Browsers, visit: Visit) -> None:
    one, other = await visit("?relay=1", browser=await browsers.of("firefox")), await visit("?relay=1")
    await get_ready(one)
    await meet(one, other)
    offer = next(frame for frame in other.received if kind_of(frame) == "offer")
    assert " typ relay " in str(offer)


async def test_a_partner_who_hides_gets_nothing_of_what_was_gathered(visit: Visit) -> None:
    one, other = await visit(), await visit("?relay=1")
    await get_ready(one)
    await meet(one, other)
    for visitor in (one, other):
        addresses = list(told(visitor))
        assert addresses
        assert all(" typ relay " in address or address == "None" for address in addresses)


async def test_another_wish_needs_another_offer(visit: Visit) -> None:
    one = await visit()
    await get_ready(one)
    assert await one.page.evaluate(POLICY, "all")
    await one.page.get_by_label("Hide my address").check()
    await one.until(POLICY, "relay")
    await one.until(READY)
    assert await one.page.evaluate(OPEN) == 1
    await one.press("Stop")
    await one.until(f"() => {OPEN} === 0")


async def test_another_visit_needs_another_offer(service: Service, visit: Visit) -> None:
    """The relays vouch for the names of the new visit."""
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await get_ready(one)
    await service.restart_server(signal.SIGTERM)
    await one.until("() => watched.connections.length > 1")
    await one.until(READY)
    await meet(one, other)
    assert await one.page.evaluate("watched.connections.length") == 2


async def test_another_microphone_is_heard(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await get_ready(one)
    await one.page.evaluate(UNPLUG)
    await meet(one, other)
