"""Two TURN clients that agree on it try to use the relay as a tunnel: nothing of it gets out."""

from __future__ import annotations

import asyncio
import secrets
from itertools import permutations
from pathlib import Path

import pytest
from aioice.turn import TurnTransport

from tests.live.gated import Gated, account, gated
from tests.live.turn_clients import Heard, aioice_client, closed
from tests.turn.call import noise, request, success
from turn.wire.stun import COOKIE_BYTES

UFRAGS = (b"one", b"other", b"outside")
ROUNDS = 5  # each is said so many times
END = b"\x00\x00 the end"  # what is said last where nothing is refused

# What people would tunnel, as its first packet looks on the wire.
DNS = b"\x01\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1"
TUNNELS = {
    "DNS": bytes.fromhex("1a2b") + DNS,
    "DNS that begins like STUN": bytes.fromhex("0001") + DNS,
    "DNS that begins like DTLS": bytes.fromhex("16fe") + DNS,
    "DNS that begins like RTP": bytes.fromhex("8111") + DNS,
    "QUIC, its first packet": bytes.fromhex("c300000001 08") + noise("quic", 1194),
    "QUIC, later": b"\x4a" + noise("quic later", 40),
    "WireGuard, its first packet": bytes.fromhex("01000000") + noise("wireguard", 144),
    "WireGuard, later": bytes.fromhex("04000000") + noise("wireguard later", 44),
    "HTTP": b"GET /secret HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "HTTP, its answer": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret",
    "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "TURN in TURN: Allocate": bytes.fromhex("00030008") + COOKIE_BYTES + bytes(12) + b"\0\x19\0\4\x11\0\0\0",
    "TURN in TURN: a channel": bytes.fromhex("40000004") + b"data",
    "OpenVPN": b"\x38" + noise("openvpn", 41),
    "plain words": b"hello, is anybody there?",
    "noise that begins like media": b"\x80\x6f" + noise("media", 160),
}


class Two:
    """Both ends, each at a relayed address of its own, and an address that is no client of the relay."""

    def __init__(self, ends: list[tuple[TurnTransport, Heard]], outside: Heard) -> None:
        self.ends, self.outside = ends, outside
        self.places = [transport.get_extra_info("sockname") for transport, _ in ends]
        self.heard = [ends[0][1], ends[1][1], outside]

    async def consent(self) -> None:
        """A check of ICE and its answer, from everybody to everybody by way of the relay."""
        speakers: list[TurnTransport | asyncio.DatagramTransport] = [transport for transport, _ in self.ends]
        speakers.append(self.outside.transport)
        places = [*self.places, self.outside.transport.get_extra_info("sockname")]
        for one, other in permutations(range(len(places)), 2):
            transaction = secrets.token_bytes(12)
            check = request(transaction, UFRAGS[one], UFRAGS[other])
            speakers[one].sendto(check, places[other])
            assert await self.heard[other].next() == check
            speakers[other].sendto(success(transaction), places[one])
            assert await self.heard[one].next() == success(transaction)

    async def say(self) -> int:
        """All of it, to each other and to the outside; how many packets came out anywhere."""
        outside = self.outside.transport.get_extra_info("sockname")
        for _ in range(ROUNDS):
            for payload in (*TUNNELS.values(), END):
                for (transport, _), there in zip(self.ends, reversed(self.places), strict=True):
                    transport.sendto(payload, there)
                    transport.sendto(payload, outside)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        return sum(heard.queue.qsize() for heard in self.heard)


async def two(relay: Gated) -> Two:
    ends = [await aioice_client(relay.relay, "127.0.0.1", account()) for _ in range(2)]
    loop = asyncio.get_running_loop()
    _, outside = await loop.create_datagram_endpoint(Heard, ("127.0.0.1", 0))
    made = Two(ends, outside)
    for (transport, _), there in zip(made.ends, reversed(made.places), strict=True):
        for place in (there, outside.transport.get_extra_info("sockname")):
            transport.sendto(b"a channel", place)
    await asyncio.sleep(0.5)
    for heard in made.heard:
        while not heard.queue.empty():
            heard.queue.get_nowait()
    return made


@pytest.mark.parametrize(("mode", "agreed"), [("enforce", False), ("enforce", True), ("off", False)])
async def test_nothing_comes_out(tmp_path: Path, mode: str, *, agreed: bool) -> None:
    """Not even once everybody has answered everybody's checks. What is refused goes through where the gate is
    off."""
    async with gated(tmp_path, mode) as relay:
        ends = await two(relay)
        if agreed:
            await ends.consent()
        before = await relay.figures()
        arrived, said = await ends.say(), ROUNDS * (len(TUNNELS) + 1) * 4
        assert arrived == (said if mode == "off" else 0)
        if mode == "enforce":
            assert sum((await relay.refused(before)).values()) == said
        for transport, _ in ends.ends:
            await closed(transport)
        ends.outside.transport.close()
