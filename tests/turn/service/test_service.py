"""The service: effects of the core are applied, and failures are counted."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
from aioice import stun

from tests.turn.engines.world import PATIENCE, End, attributes, framed, unframed, xored
from tests.turn.service.caller import Caller, ended
from tests.turn.service.running import LOOPBACK, SECRET, Running, turn
from turn.core.effects import Effect, Send
from turn.core.relay import Relay
from turn.engines.portable.engine import Portable
from turn.flows import Address, Packet, Transport
from turn.policies import StrangerLimits
from turn.service.from_config import RelayConfig, relay_settings
from turn.service.service import Service

PACKET = Packet(Address.of("127.0.0.1", 1), Address.of("192.0.2.66", 2), b"canary")


@pytest.mark.parametrize("version", [4, 6])
async def test_a_call_between_two_clients_of_one_relay(version: int) -> None:
    async with Running(version) as world:
        callers = [Caller(world, "alice", "password of hers") for _ in range(2)]
        relays = [await caller.allocate() for caller in callers]
        for caller, there in zip(callers, reversed(relays), strict=True):
            assert await caller.bind(0x4000, there) is stun.Class.RESPONSE
        flows = list(world.engine.traffic())
        assert [(flow.relay, flow.peer) for flow in flows] == [tuple(relays), tuple(relays[::-1])]
        for flow, one, two in zip(flows, callers, reversed(callers), strict=True):
            one.end.send(framed(flow, b"hello"), world.listener)
            assert unframed(flow, await two.end.receive()) == b"hello"
        assert await ended(callers[0]) is stun.Class.RESPONSE
        assert not world.engine.traffic()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_call_over_streams_ends_with_its_connection(version: int, transport: Transport) -> None:
    async with Running(version, transport=transport) as world:
        caller = Caller(world, "alice", "password of hers", await world.connect())
        relay = await caller.allocate()
        peer = world.end(relay.host)
        assert await caller.bind(0x4000, peer.address) is stun.Class.RESPONSE
        (flow,) = world.engine.traffic()
        assert (flow.client, flow.listener) == (caller.end.address, world.listener)
        for data in (b"a", b"hello"):
            caller.end.send(framed(flow, data), world.listener)
            assert await peer.receive_from() == (data, relay)
            peer.send(data, relay)
            assert unframed(flow, await caller.end.receive()) == data
        caller.end.close()
        async with asyncio.timeout(1):
            while world.engine.traffic():
                await asyncio.sleep(0.01)
        assert world.engine.open(relay)
        assert not list(world.relay.sessions(0.0))


async def test_the_engine_answers_strangers_within_the_limits_as_they_are_now() -> None:
    told: list[StrangerLimits | None] = []

    class Answering(Portable):
        def answer_bindings(self, limits: StrangerLimits | None) -> None:
            told.append(limits)

    keys = {"users": {"alice": "password of hers"}}
    for limit in (7, 8):
        config = RelayConfig(turn(**keys, limits={"unauthenticated_per_second": limit}), [SECRET])
        given = relay_settings(config, [], LOOPBACK)
        if not told:
            service = Service(Relay(given), Answering([]))
        else:
            service.reload(given)
    assert [limits and limits.per_second for limits in told] == [7, 8]
    service.engine.close_all()  # type: ignore[attr-defined]


async def test_a_loss_that_no_code_expected_is_counted() -> None:
    async with Running(transport="tcp") as world:
        world.service.relay = None  # type: ignore[assignment]
        world.service.on_lost(world.listener, world.listener)
        assert world.service.mishaps == 1


async def test_indications_are_relayed_and_then_linked() -> None:
    async with Running() as world:
        caller, peer = Caller(world, "alice", "password of hers"), world.end()
        relay = await caller.allocate()
        there = (peer.address.host, peer.address.port)
        await caller.ask(stun.Method.CREATE_PERMISSION, XOR_PEER_ADDRESS=there)
        flow = world.flow(caller.end, peer.address, None, relay)
        for data in (b"first", b"second"):
            caller.end.send(framed(flow, data), world.listener)
            assert await peer.receive_from() == (data, relay)
            peer.send(data, relay)
            assert unframed(flow, await caller.end.receive()) == data
        assert list(world.engine.traffic()) == [flow]


async def test_core_and_engine_have_one_limit_together() -> None:
    """Half of the packets have an attribute that the engine leaves to the core."""
    rate, seconds = 50, 2.0
    async with Running(limits={"packets_per_second": rate}) as world:
        caller, peer = Caller(world, "alice", "password of hers"), world.end()
        await caller.allocate()
        await caller.bind(0x4000, peer.address)
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            for data in (b"\x40\0\0\1x", said_oddly(peer.address)):
                caller.end.send(data, world.listener)
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        passed = sum(flow.packets_out for flow in world.engine.traffic().values())
        dropped = world.relay.counts["drops.pace"]
        heard = 0
        with suppress(TimeoutError):
            while await asyncio.wait_for(peer.receive(), 0.2):
                heard += 1
        assert 0 < passed < heard <= rate * (time.monotonic() - begun + 2)
        assert dropped > 0


def said_oddly(peer: Address) -> bytes:
    message = stun.Message(message_method=stun.Method.SEND, message_class=stun.Class.INDICATION)
    message.attributes.update({"SOFTWARE": "x", "XOR-PEER-ADDRESS": (peer.host, peer.port), "DATA": b"x"})
    return bytes(message)


async def test_a_client_is_told_what_was_too_large_to_go_whole() -> None:
    async with Running(icmp_to_all=True) as world:
        caller, peer = Caller(world, "alice", "password of hers"), world.end()
        relay = await caller.allocate()
        there = (peer.address.host, peer.address.port)
        await caller.ask(stun.Method.CREATE_PERMISSION, XOR_PEER_ADDRESS=there)
        world.service.apply([Send(Packet(relay, peer.address, bytes(65530), dont_fragment=True))])
        told = dict(attributes(await caller.end.receive()))
        assert told[0x8004][:4] == b"\0\0\x03\x04"
        assert int.from_bytes(told[0x8004][4:]) >= 1280


async def test_a_client_is_told_of_a_peer_that_is_not_there() -> None:
    async with Running(icmp_to_all=True) as world:
        caller, peer = Caller(world, "alice", "password of hers"), world.end()
        relay = await caller.allocate()
        assert await caller.bind(0x4000, peer.address) is stun.Class.RESPONSE
        peer.close()
        flow = world.flow(caller.end, peer.address, 0x4000, relay)
        for _ in range(3):
            caller.end.send(framed(flow, b"anybody?"), world.listener)
            message = await caller.end.receive()
            assert message[:2] == b"\0\x17"
            assert dict(attributes(message)) == {
                0x0012: xored(peer.address, message[8:20]),
                0x8004: b"\0\0\x03\x03" + bytes(4),
            }
        assert await ended(caller) is stun.Class.RESPONSE  # and nothing else was told before


async def test_a_taken_port_leads_to_another() -> None:
    squatters = [End("127.0.0.1", port) for port in range(22500, 22503)]
    async with Running(relay_ports="22500-22503") as world:
        assert (await Caller(world, "alice", "password of hers").allocate()).port == 22503
    for squatter in squatters:
        squatter.close()


class Surprised(Relay):
    """A relay with a mistake in it."""

    def receive(self, packet: Packet, now: float, wall: float) -> list[Effect]:
        raise KeyError(packet.data, packet.remote.host)


async def test_a_mistake_is_counted_and_the_relay_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    async with Running(relay=Surprised) as world:
        for _ in range(100):
            world.service.on_packet(PACKET)
        assert world.service.mishaps == 100
        world.service.quiet_until = 0.0
        world.service.on_packet(PACKET)
    messages = [record.getMessage() for record in caplog.records if record.name == "calln.relay"]
    assert [message.split()[3] for message in messages] == ["KeyError"] * 2
    assert "(101 so far)" in messages[1]
    assert "canary" not in caplog.text
    assert "192.0.2.66" not in caplog.text


class Forgetful(Relay):
    """A relay in which something ends soon, three times."""

    left = 3
    due: float | None = None  # stays until `expire`

    def next_expiry(self) -> float | None:
        self.due = self.due or time.monotonic() + 0.01
        return self.due if self.left else None

    def expire(self, now: float) -> list[Effect]:
        assert self.due is not None
        assert now >= self.due
        self.left, self.due = self.left - 1, None
        if self.left == 1:
            raise RuntimeError
        return []


async def test_deadlines_are_kept_even_after_a_mistake() -> None:
    async with Running(relay=Forgetful) as world:
        world.service.schedule_expiry()
        async with asyncio.timeout(PATIENCE):
            while world.relay.next_expiry() is not None:
                await asyncio.sleep(0.01)
        assert world.service.mishaps == 1
        assert world.service.timer is None


async def test_an_earlier_deadline_moves_the_timer() -> None:
    async with Running() as world:
        first = Caller(world, "alice", "password of hers")
        await first.allocate()
        timer = world.service.timer
        assert timer is not None
        assert timer.when() == world.relay.next_expiry()
        peer = ("127.0.0.1", 9)
        await first.ask(stun.Method.CREATE_PERMISSION, XOR_PEER_ADDRESS=peer)
        moved = world.service.timer
        assert moved is not None
        assert moved.when() == world.relay.next_expiry()
        assert moved.when() < timer.when()
        await ended(first)
        moved.cancel()
