"""The figures are true, never fall, and name nobody."""

from __future__ import annotations

import pytest
from aioice import stun

from tests.turn.engines.world import framed, unframed
from tests.turn.service.caller import Caller
from tests.turn.service.running import Running, turn
from turn.flows import Address, Flow, Traffic
from turn.service.metrics import RelayMetrics, TrafficTotals

CLIENT, LISTENER = Address.of("192.0.2.8", 40000), Address.of("192.0.2.1", 3478)
RELAY, PEER = Address.of("192.0.2.1", 50000), Address.of("198.51.100.7", 9)
UDP4, UDP6 = ("udp", 4), ("udp", 16)


def flow(channel: int | None, relay: Address = RELAY, peer: Address = PEER) -> Flow:
    return Flow(CLIENT, LISTENER, channel, relay, peer)


def carried(packets: int) -> Traffic:
    return Traffic(packets, packets * 100, packets, packets * 100, packets)


def test_what_is_over_stays_in_the_totals() -> None:
    six = flow(None, Address.of("2001:db8::1", 50000), Address.of("2001:db8::2", 9))
    live = {flow(None): carried(3), flow(0x4000): carried(4), six: carried(5)}
    tally = TrafficTotals(live)
    both = {UDP4: carried(7), UDP6: carried(5)}
    assert tally.totals() == both
    for over in (flow(None), six, flow(0x4000), flow(0x4001)):  # the last one the engine never took up
        tally.add_ended(over, live.pop(over, Traffic()))
        assert tally.totals() == both
    live[flow(0x4000)] = carried(1)
    assert tally.totals() == {**both, UDP4: carried(8)}


def value(metrics: RelayMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"calln_relay_{name}", labels)


@pytest.mark.parametrize("version", [4, 6])
async def test_figures_of_a_call_while_it_lasts_and_after_it(version: int) -> None:
    path = {"transport": "udp", "family": "ipv4"}  # relayed to, however the relay was reached
    async with Running(version) as world:
        metrics = RelayMetrics(world.service)
        caller, peer = Caller(world, "alice", "password of hers"), world.end("127.0.0.1")
        relay = await caller.allocate()
        await caller.bind(0x4000, peer.address)
        assert value(metrics, "allocations", **path) == 1
        assert value(metrics, "flows", **path) == 1
        [linked] = world.engine.traffic()
        for _ in range(3):
            caller.end.send(framed(linked, b"hello"), world.listener)
            assert await peer.receive() == b"hello"
        peer.send(b"hello there", relay)
        assert unframed(linked, await caller.end.receive()) == b"hello there"
        during = [value(metrics, name, **path, direction=way) for name, way in MOVED]
        await caller.ask(stun.Method.REFRESH, LIFETIME=0)
        after = [value(metrics, name, **path, direction=way) for name, way in MOVED]
        page = metrics.exposition().decode()
    assert during == after == [3, 15, 1, 11]
    assert value(metrics, "allocations", **path) is None
    for name in ("alice", relay.host, str(relay.port), str(caller.end.address.port)):
        assert f'"{name}' not in page
    assert "calln_relay_mishaps_total 0.0" in page
    assert "calln_relay_packets_in_kernel_total 0.0" in page
    assert "process_resident_memory_bytes" in page


MOVED = [
    ("packets_total", "to_peer"),
    ("bytes_total", "to_peer"),
    ("packets_total", "to_client"),
    ("bytes_total", "to_client"),
]


async def test_drops_refusals_and_limits_are_counted_by_reason() -> None:
    async with Running(limits={"packets_per_second": 1}) as world:
        metrics = RelayMetrics(world.service)
        caller, peer = Caller(world, "alice", "password of hers"), world.end()
        relay = await caller.allocate()
        peer.send(b"unasked", relay)
        assert await caller.bind(0x4000, peer.address) is stun.Class.RESPONSE
        [linked] = world.engine.traffic()
        for _ in range(5):
            caller.end.send(framed(linked, b"hello"), world.listener)
        await peer.receive()
        await caller.ask(stun.Method.REFRESH, LIFETIME=0)
    assert value(metrics, "refusals_total", code="401") == 1
    assert value(metrics, "drops_total", reason="no permission") == 1
    assert value(metrics, "limited_packets_total", transport="udp", family="ipv4") == 4
    assert value(metrics, "punted_packets_total", transport="udp", family="ipv4") == 5
    assert value(metrics, "engine", engine="portable", reason="") == 1
    assert value(metrics, "draining") == 0
    shown = {figure["name"] for figure in metrics.figures()}
    assert "calln_relay_drops_total" in shown
    assert not any(str(name).startswith("process_") for name in shown)


async def test_what_the_engine_has_answered_counts_as_what_the_core_has() -> None:
    async with Running() as world:
        metrics = RelayMetrics(world.service)
        caller = Caller(world, "alice", "password of hers")
        assert (await caller.ask(stun.Method.BINDING)).message_class is stun.Class.RESPONSE
        assert value(metrics, "replies_total", kind="binding") == 1
        assert value(metrics, "drops_total", reason="strangers") is None
        world.engine.answered = lambda: {"replies.binding": 5, "drops.strangers": 2}  # type: ignore[method-assign]
        assert value(metrics, "replies_total", kind="binding") == 6
        assert value(metrics, "drops_total", reason="strangers") == 2


async def test_connections_that_were_not_let_in_are_counted_by_limit() -> None:
    async with Running(transport="tcp", limits={"connections_per_address": 2}) as world:
        world.service.reload_streams(turn(limits={"connections_per_address": 2}))
        metrics = RelayMetrics(world.service)
        for _ in range(2):
            await world.connect()
        third = await world.connect()
        assert await third.ended() == b""
        assert value(metrics, "refused_connections_total", limit="connections of an address") == 1
