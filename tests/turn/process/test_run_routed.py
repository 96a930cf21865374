"""The whole relay with a way between it and its peers: routers that send packets back, and NAT in front."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator

import pytest
from aioice import stun

from tests.turn.engines import land
from tests.turn.engines.world import (
    PATIENCE,
    End,
    World,
    attribute,
    attributes,
    framed,
    send_indication,
    unframed,
    xored,
)
from tests.turn.engines.world import stun as message
from tests.turn.service.caller import Caller
from tests.turn.service.running import RELAYED, SECRET
from turn.config.section import Turn
from turn.core.relay import Relay
from turn.engines import Failure
from turn.engines.portable.engine import Portable
from turn.flows import Address, Flow, Packet
from turn.service.from_config import RelayConfig, relay_settings
from turn.service.service import Service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

HERE, THERE = land.HERE[4], land.THERE[4]
PUBLIC = "203.0.113.7"  # what the world knows HERE by, where NAT stands in front
CHANNEL = 0x4000
DONT_FRAGMENT, DATA, XOR_PEER_ADDRESS, ICMP = 0x001A, 0x0013, 0x0012, 0x8004
NAT = f"""
table ip nat {{
    chain in {{
        type nat hook prerouting priority dstnat
        iifname far ip daddr {PUBLIC} dnat to {HERE}
    }}
    chain out {{
        type nat hook postrouting priority srcnat
        oifname far ip saddr {HERE} snat to {PUBLIC}
    }}
}}
"""


@pytest.fixture(scope="module")
def nat(places: dict[str, land.Place]) -> Iterator[None]:
    """One public address, all its ports, is the relay's from outside."""
    with places["near"].inside():
        subprocess.run(["nft", "-f", "-"], input=NAT, text=True, check=True)
    with places["far"].inside():
        land.ip(f"route add {PUBLIC} via 10.66.2.1")
    yield
    with places["near"].inside():
        subprocess.run(["nft", "flush", "ruleset"], check=True)


class Routed(World):
    """A relay behind the routers, and ends beyond them."""

    def __init__(self, places: dict[str, land.Place], **keys: object) -> None:
        super().__init__(Portable, listen=HERE)
        self.far = places["peer"]
        told = Turn.model_validate(
            {
                "listen": str(self.listener),
                "relay_addresses": [HERE],
                "relay_ports": RELAYED,
                "allow_peers": ["10.66.0.0/16"],
                "encrypted_only": "off",  # plain words are said here
                "icmp_to_all": True,
                "users": {"alice": "password of hers"},
                **keys,
            }
        )
        own = frozenset((Address.of(HERE, 0).ip, b"\x7f\0\0\1"))
        relay = Relay(relay_settings(RelayConfig(told, [SECRET]), [self.listener], own))
        self.service = Service(relay, self.engine)

    def receive(self, packet: Packet) -> None:
        self.service.on_packet(packet)

    def fail(self, failure: Failure) -> None:
        self.service.on_failure(failure)

    def end(self, host: str | None = None) -> End:
        with self.far.inside():
            return super().end(host or THERE)

    def neighbour(self) -> Caller:
        """A client on the relay's side of the routers."""
        return Caller(self, "alice", "password of hers", super().end(HERE))

    def caller(self) -> Caller:
        """A client beyond NAT."""
        caller = Caller(self, "alice", "password of hers")
        caller.listener = Address.of(PUBLIC, self.listener.port)
        return caller


def whole(peer: Address, data: bytes) -> bytes:
    """A Send indication of what must not be fragmented (RFC 8656 §14)."""
    transaction = b"dont fragmen"
    body = attribute(XOR_PEER_ADDRESS, xored(peer, transaction)) + attribute(DONT_FRAGMENT, b"")
    return message(0x0016, body + attribute(DATA, data), transaction)


async def hears(caller: Caller, peer: Address, icmp: str) -> None:
    """The next thing that the client is told is an ICMP error about a peer (RFC 8656 §18.13)."""
    data = await caller.end.receive()
    assert data[:2] == b"\0\x17"
    assert dict(attributes(data)) == {XOR_PEER_ADDRESS: xored(peer, data[8:20]), ICMP: bytes.fromhex(icmp)}


async def permitted(caller: Caller, peer: Address) -> None:
    there = (peer.host, peer.port)
    answer = await caller.ask(stun.Method.CREATE_PERMISSION, XOR_PEER_ADDRESS=there)
    assert answer.message_class is stun.Class.RESPONSE


async def test_a_client_is_told_what_became_of_its_packets(places: dict[str, land.Place]) -> None:
    async with Routed(places) as world:
        caller, peer = world.neighbour(), world.end()
        await caller.allocate()
        nobody, lost = Address.of(THERE, 9999), Address.of(land.ENDLESS[4], 9999)
        for there in (peer.address, lost):
            await permitted(caller, there)
        for _ in range(2):  # first by the core, then by a linked flow
            caller.end.send(send_indication(nobody, b"anybody?"), caller.listener)
            await hears(caller, nobody, "0000 0303 00000000")
            caller.end.send(send_indication(lost, b"anybody?"), caller.listener)
            await hears(caller, lost, "0000 0b00 00000000")
            caller.end.send(whole(peer.address, bytes(land.NARROW)), caller.listener)
            await hears(caller, peer.address, f"0000 0304 {land.NARROW:08x}")
        caller.end.send(whole(peer.address, b"small"), caller.listener)
        assert await peer.receive() == b"small"


async def test_nobody_is_told_of_peers_that_they_may_not_speak_to(places: dict[str, land.Place]) -> None:
    async with Routed(places) as world:
        caller = world.neighbour()
        relay = await caller.allocate()
        world.engine.send([Packet(relay, Address.of(THERE, 9999), b"not asked for")])
        async with asyncio.timeout(PATIENCE):
            while not world.service.relay.counts["drops.no permission"]:
                await asyncio.sleep(0.01)
        assert await caller.bind(CHANNEL, Address.of(THERE, 9999)) is stun.Class.RESPONSE  # heard first


@pytest.mark.usefixtures("nat")
async def test_behind_nat_a_relayed_address_is_the_public_one(places: dict[str, land.Place]) -> None:
    async with Routed(places, external_ip=f"{PUBLIC}/{HERE}") as world:
        caller, peer = world.caller(), world.end()
        relay = await caller.allocate()
        assert relay.host == PUBLIC
        assert await caller.bind(CHANNEL, peer.address) is stun.Class.RESPONSE
        flow = Flow(caller.end.address, caller.listener, CHANNEL, relay, peer.address)
        for data in (b"one", b"two"):
            caller.end.send(framed(flow, data), caller.listener)
            assert await peer.receive_from() == (data, relay)
            peer.send(data, relay)
            assert unframed(flow, await caller.end.receive()) == data


@pytest.mark.usefixtures("nat")
@pytest.mark.parametrize("channel", [CHANNEL, None], ids=["channel", "indication"])
async def test_behind_nat_two_clients_meet_at_their_public_addresses(
    places: dict[str, land.Place], channel: int | None
) -> None:
    async with Routed(places, external_ip=f"{PUBLIC}/{HERE}") as world:
        one, two = world.caller(), world.caller()
        first, second = await one.allocate(), await two.allocate()
        for caller, peer in ((one, second), (two, first)):
            if channel is None:
                await permitted(caller, peer)
            else:
                assert await caller.bind(channel, peer) is stun.Class.RESPONSE
        there = Flow(one.end.address, one.listener, channel, first, second)
        back = Flow(two.end.address, two.listener, channel, second, first)
        for data in (b"hello", b"again", b"and again"):
            for caller, flow, other, other_flow in ((one, there, two, back), (two, back, one, there)):
                caller.end.send(framed(flow, data), caller.listener)
                assert unframed(other_flow, await other.end.receive()) == data
        linked = {(flow.relay.host, flow.peer.host) for flow in world.engine.traffic()}
        assert linked == {(HERE, HERE)}
