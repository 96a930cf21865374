"""Visitors without a browser: they say what they like at the page's socket, and to the relays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aioice.turn import TurnTransport, create_turn_endpoint
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from server.signalling.messages import PROTOCOL
from tests.live.service import Service
from tests.live.turn_clients import Heard
from tests.server.serving import Browser
from tests.server.signalling.descriptions import sdp
from tests.turn.call import request, rtp, success

VOICE = 0x51DE0001
UFRAGS = (b"oneone", b"other")


@asynccontextmanager
async def visiting(service: Service, number: int) -> AsyncIterator[list[Browser]]:
    """So many who have said hello."""
    browsers = []
    for _ in range(number):
        socket = await connect(
            service.url.replace("http", "ws") + "ws",
            origin=Origin(service.url.rstrip("/")),
            subprotocols=[Subprotocol(PROTOCOL)],
            compression=None,
        )
        browsers.append(Browser(socket))
        await browsers[-1].hello()
    try:
        yield browsers
    finally:
        for browser in browsers:
            browser.cut()


async def until_heard(browser: Browser, kind: str) -> dict[str, Any]:
    while (said := await browser.next())["type"] != kind:
        pass
    return dict(said)


async def couple(one: Browser, other: Browser) -> list[dict[str, Any]]:
    """Both are in a call; the ICE servers of each."""
    for browser in (one, other):
        await browser.say("start")
    found = []
    for browser in (one, other):
        matched = await until_heard(browser, "matched")
        browser.call = matched["call"]
        found.append(matched["ice"])
    return found


async def describe(one: Browser, other: Browser) -> None:
    """An offer and its answer, with UFRAGS."""
    for kind, end, ufrag in (("offer", one, UFRAGS[0]), ("answer", other, UFRAGS[1])):
        await end.tell(kind, sdp=sdp(replace=("abcd", ufrag.decode())))
        await until_heard(other if end is one else one, kind)


class RelayEnd:
    """An allocation at a relay, by a credential that the server gave."""

    def __init__(self, transport: TurnTransport, heard: Heard) -> None:
        self.transport, self.heard = transport, heard
        self.place = transport.get_extra_info("sockname")

    @classmethod
    async def open(cls, ice: dict[str, Any], host: str, port: int, transport: str = "udp") -> RelayEnd:
        relay = ice["iceServers"][-1]
        heard = Heard()
        made, _ = await create_turn_endpoint(
            lambda: heard, (host, port), relay["username"], relay["credential"], transport=transport
        )
        return cls(made, heard)

    async def says(self, payload: bytes, other: RelayEnd, seconds: float) -> bool:
        """Whether it arrives at the other end."""
        self.transport.sendto(payload, other.place)
        try:
            async with asyncio.timeout(seconds):
                while await other.heard.queue.get() != payload:
                    pass
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self.transport.close()


async def consent(one: RelayEnd, other: RelayEnd) -> None:
    """Checks of ICE and their answers, both ways, after a packet that binds the channels."""
    for end, far in ((one, other), (other, one)):
        await end.says(b"a channel", far, 0.3)
    for number, (end, far) in enumerate(((one, other), (other, one))):
        names = UFRAGS if end is one else UFRAGS[::-1]
        transaction = number.to_bytes(12)
        assert await end.says(request(transaction, *names), far, 5.0)
        assert await far.says(success(transaction), end, 5.0)


async def media_passes(one: RelayEnd, other: RelayEnd, seconds: float) -> bool:
    """Media of a call whose handshake the relay has not seen."""
    return await one.says(rtp(VOICE, 1), other, seconds)
