"""Several real processes at one address: calls between them, limits over all, and the death of one."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from aioice import stun

from host.startup import Unavailable
from tests.turn.crowd import Crowd, crowd, is_alive, name, pid_of
from tests.turn.engines.world import PATIENCE, End, framed, unframed
from tests.turn.process.operator import door
from tests.turn.service.caller import Caller, ended
from tests.turn.service.running import SECRET, turn
from turn.flows import Address, Flow, Transport
from turn.process.control import Control
from turn.service.from_config import RelayConfig
from turn.service.own_addresses import own_addresses
from turn.service.relayed_ports import RelayedPorts
from turn.workers import pool as pools
from turn.workers import worker_process

SUCCESSOR_SECONDS = 30.0  # a pause, and an interpreter's start on a busy machine
BINDING = b"\0\1\0\0\x21\x12\xa4\x42transaction!"

PLACES: list[tuple[str, Transport]] = [
    ("127.0.0.1", "udp"),
    ("0.0.0.0", "udp"),
    ("::1", "udp"),
    ("::", "udp"),
    ("127.0.0.1", "tcp"),
    ("::", "tcp"),
    ("0.0.0.0", "tls"),
]


def way(caller: Caller, relay: Address, peer: Address) -> Flow:
    return Flow(caller.end.address, caller.listener, 0x4000, relay, peer)


async def talk(one: tuple[Caller, Address], two: tuple[Caller, Address], words: int = 5) -> None:
    """Both ways, over channels to each other's relayed address."""
    for (speaker, from_), (hearer, to) in ((one, two), (two, one)):
        for word in range(words):
            speaker.end.send(framed(way(speaker, from_, to), b"word %d" % word), speaker.listener)
            assert unframed(way(hearer, to, from_), await hearer.end.receive()) == b"word %d" % word


async def call(one: tuple[Caller, Address], two: tuple[Caller, Address]) -> None:
    for (caller, _), (_, there) in ((one, two), (two, one)):
        assert await caller.bind(0x4000, there) is stun.Class.RESPONSE
    await talk(one, two)


@pytest.mark.parametrize(("listen", "transport"), PLACES)
async def test_a_call_between_two_workers(tmp_path: Path, listen: str, transport: Transport) -> None:
    async with crowd(tmp_path, listen=listen, transport=transport) as world:
        one, two = await world.one_each()
        await call(one, two)
        rows = await world.pool.sessions()
        assert sorted(row["id"] for row in rows) == sorted((name(one[1]), name(two[1])))
        assert [row["flows"] for row in rows] == [1, 1]
        assert await world.pool.session_count() == 2
        figures = await world.figures()
        assert (figures["workers"], figures["allocations"], figures["flows"]) == (2, 2, 2)
        assert figures["packets_total"] >= 16


async def test_a_relayed_address_of_another_worker_is_a_peer_as_long_as_it_lives(tmp_path: Path) -> None:
    async with crowd(tmp_path) as world:
        one, two = await world.one_each()
        await call(one, two)
        assert await ended(two[0]) is stun.Class.RESPONSE
        async with asyncio.timeout(PATIENCE):
            while (await world.pool.sessions())[0]["flows"]:
                await asyncio.sleep(0.05)
        assert await one[0].bind(0x4001, two[1]) is stun.Class.ERROR


async def test_the_death_of_one_ends_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with crowd(tmp_path) as world:
        (early, stays), two = await world.one_each()
        third, fourth = world.end(), await other_at(world, two[1])
        await call(two, fourth)
        before = await world.figures()
        first, second = map(pid_of, world.pool.processes)
        os.kill(first, signal.SIGKILL)
        await talk(two, fourth, 50)
        assert len(await answered(early, world.listener)) == 32  # by the successor
        await talk(two, fourth, 50)
        assert pid_of(world.pool.processes[1]) == second
        assert pid_of(world.pool.processes[0]) != first
        ids = [row["id"] for row in await world.pool.sessions()]
        assert sorted(ids) == sorted(map(name, (stays, two[1], fourth[1])))
        look = RelayedPorts(tmp_path, claim=False)
        assert [relay in look for relay in (stays, two[1], fourth[1])] == [True, True, True]
        look.close()
        assert world.pool.ledger.usage("allocations").amount(b"") == 3
        assert await early.bind(0x4001, two[1]) is stun.Class.RESPONSE  # with the nonce of the dead one
        after = await world.figures()
        assert (after["workers"], after["worker_deaths_total"]) == (2, 1)
        assert all(after[total] >= before[total] for total in before if total.endswith("_total"))
        assert await ended(early) is stun.Class.RESPONSE
        third.send(BINDING, world.listener)
        assert len(await third.receive()) == 32
    assert "worker 0 has died" in caplog.text
    assert "127.0.0.1" not in caplog.text


async def answered(caller: Caller, there: Address) -> bytes:
    """What waits for a successor is answered by it."""
    assert isinstance(caller.end, End)
    caller.end.send(BINDING, there)
    loop = asyncio.get_running_loop()
    return await asyncio.wait_for(loop.sock_recv(caller.end.sock, 1500), SUCCESSOR_SECONDS)


async def other_at(world: Crowd, relay: Address) -> tuple[Caller, Address]:
    """Another caller of the worker that has this session."""
    [home] = [process for process in world.pool.processes if name(relay) in await world.ids(process)]
    while True:
        caller = await world.caller()
        made = await caller.allocate()
        if name(made) in await world.ids(home):
            return caller, made
        await ended(caller)


async def test_one_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "ANSWER_SECONDS", 0.2)
    async with crowd(tmp_path) as world:
        stuck = pid_of(world.pool.processes[1])
        os.kill(stuck, signal.SIGSTOP)
        async with asyncio.timeout(SUCCESSOR_SECONDS):
            while world.pool.is_healthy():
                await asyncio.sleep(0.05)
            while pid_of(world.pool.processes[1]) == stuck or not world.pool.is_healthy():
                await asyncio.sleep(0.05)
        assert not is_alive(stuck)
        assert world.pool.deaths == 1


async def callers_of_both(world: Crowd, number: int) -> list[Caller]:
    """So many callers with an allocation each. The kernel spreads them by chance; both workers have some."""
    callers: list[Caller] = []
    while len(callers) < number:
        caller = await world.caller()
        await caller.allocate()
        callers.append(caller)
        if len(callers) == number and not all([await world.ids(each) for each in world.pool.processes]):
            await ended(callers.pop())
    return callers


async def test_a_users_limit_holds_over_all(tmp_path: Path) -> None:
    async with crowd(tmp_path, limits={"allocations_per_user": 6}) as world:
        callers = await callers_of_both(world, 6)
        late = await world.caller()
        await late.challenged()
        refused = await late.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
        assert refused.attributes["ERROR-CODE"][0] == 486
        await ended(callers[0])
        again = await late.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
        assert again.message_class is stun.Class.RESPONSE


async def test_replies_to_strangers_are_counted_once(tmp_path: Path) -> None:
    async with crowd(tmp_path, limits={"unauthenticated_per_second": 5}) as world:
        strangers = [world.end() for _ in range(100)]
        for stranger in strangers:
            stranger.send(BINDING, world.listener)
        async with asyncio.timeout(PATIENCE):
            while (await world.figures())["punted_packets_total"] < 100:
                await asyncio.sleep(0.05)
        figures = await world.figures()
        assert 20 <= figures["replies_total"] <= 20 + 5 * PATIENCE
        assert figures["replies_total"] + figures["drops_total"] == 100


async def test_connections_of_one_address_are_counted_over_all(tmp_path: Path) -> None:
    async with crowd(tmp_path, transport="tcp", limits={"connections_per_address": 6}) as world:
        callers = [await world.caller() for _ in range(6)]
        for caller in callers:
            await caller.challenged()
        one_too_many = await world.client()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await one_too_many.receive()


async def test_a_pair_of_ports_is_not_for_several(tmp_path: Path) -> None:
    async with crowd(tmp_path) as world:
        caller = await world.caller()
        await caller.challenged()
        refused = await caller.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000, EVEN_PORT=b"\x80")
        assert refused.attributes["ERROR-CODE"][0] == 508


async def test_sessions_are_ended_wherever_they_are(tmp_path: Path) -> None:
    async with crowd(tmp_path) as world:
        pair = await world.one_each()
        assert [await world.pool.kill(name=name(relay)) for _, relay in pair] == [1, 1]
        await world.one_each()
        assert await world.pool.kill(user="alice") == 2
        assert (await world.pool.kill(user="alice"), await world.pool.session_count()) == (0, 0)


async def test_new_settings_reach_all_and_successors(tmp_path: Path) -> None:
    bob = ("bob", "password of his")
    async with crowd(tmp_path) as world:
        await world.one_each()
        told = turn(listen=str(world.listener), users=dict([bob]), workers=2)
        await world.pool.apply_streams(told)
        await world.pool.apply_config(RelayConfig(told, [SECRET]), own_addresses())
        assert await world.pool.session_count() == 0  # alice is no longer known
        for process in world.pool.processes:
            os.kill(pid_of(process), signal.SIGKILL)
        caller = await world.caller(bob)
        await answered(caller, world.listener)
        await caller.allocate()


async def test_a_certificate_that_cannot_be_used_reaches_nobody(tmp_path: Path) -> None:
    async with crowd(tmp_path, transport="tls") as world:
        (tmp_path / "empty.pem").touch()
        broken = world.turn.model_copy(update={"certificate": tmp_path / "empty.pem"})
        with pytest.raises(Unavailable, match=r"turn\.certificate"):
            await world.pool.apply_streams(broken)
        await (await world.caller()).allocate()


async def test_draining_reaches_all_and_successors(tmp_path: Path) -> None:
    async with crowd(tmp_path) as world:
        await world.pool.drain(None)
        os.kill(pid_of(world.pool.processes[0]), signal.SIGKILL)
        async with asyncio.timeout(SUCCESSOR_SECONDS):
            while (await world.figures())["workers"] == 2:
                await asyncio.sleep(0.05)
            while (await world.figures())["workers"] < 2:
                await asyncio.sleep(0.05)
        assert world.pool.draining
        for _ in range(10):
            caller = await world.caller()
            await caller.challenged()
            answer = await caller.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
            assert answer.attributes["ERROR-CODE"][0] == 508
        assert (await world.figures())["draining"] == 1


async def test_workers_end_with_whom_they_serve(tmp_path: Path) -> None:
    async with crowd(tmp_path) as world:
        processes = [pid_of(process) for process in world.pool.processes]
        assert all(map(is_alive, processes))
    assert not any(map(is_alive, processes))


async def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    world = Crowd(tmp_path, transport="tls")
    assert world.turn.key
    world.turn = world.turn.model_copy(update={"certificate": world.turn.key})
    with pytest.raises(Unavailable, match="a worker cannot start"):
        await world.start()


async def test_who_dies_as_the_relay_leaves_has_no_successor(tmp_path: Path) -> None:
    async with crowd(tmp_path) as world:
        first, second = world.pool.processes
        dead = pid_of(first)
        os.kill(dead, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            while first.is_serving:
                await asyncio.sleep(0.01)
        await world.pool.leave_listeners()
        await asyncio.sleep(pools.PAUSE + 0.3)
        assert pid_of(first) == dead
        assert not world.task.done()
        assert await second.call("session_count") == 0


async def test_one_that_does_not_answer_has_the_sessions_that_it_told_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "ANSWER_SECONDS", 0.5)
    async with crowd(tmp_path) as world:
        await world.one_each()
        assert await world.pool.session_count() == 2
        stuck = pid_of(world.pool.processes[0])
        os.kill(stuck, signal.SIGSTOP)
        assert await world.pool.session_count() == 2
        os.kill(stuck, signal.SIGCONT)


async def test_orders_to_one_that_starts_do_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "PAUSE", 0.05)
    async with crowd(tmp_path) as world:
        first = world.pool.processes[0]
        os.kill(pid_of(first), signal.SIGKILL)
        async with asyncio.timeout(SUCCESSOR_SECONDS):
            while not world.pool.deaths:
                await asyncio.sleep(0.01)
            await world.pool.drain(None)
            while not first.is_serving:
                await world.pool.session_count()
                await asyncio.sleep(0.01)
        assert world.pool.deaths == 1
        assert await first.call("session_count") == 0


@pytest.mark.parametrize(("listen", "goes_on"), [("127.0.0.1", True), ("0.0.0.0", False)])
async def test_under_a_concrete_address_clients_are_kept_for_good(
    tmp_path: Path, listen: str, goes_on: bool
) -> None:
    """A socket of one client's own would change which worker meets each stranger."""
    async with crowd(tmp_path, listen=listen) as world:
        await world.pool.start_sharing()
        await world.pool.stop_sharing()
        assert world.pool.sharing is goes_on


async def test_where_nobody_serves_it_is_not_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowd(tmp_path) as world:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", fails)
        monkeypatch.setattr(pools, "PAUSE", 0.05)
        for process in world.pool.processes:
            os.kill(pid_of(process), signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            while any(process.is_serving for process in world.pool.processes):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert not world.pool.is_healthy()
        assert not world.task.done()
        assert world.pool.deaths == 2


async def test_where_one_hangs_it_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "ANSWER_SECONDS", 0.2)
    async with crowd(tmp_path) as world:
        config = RelayConfig(world.turn, [SECRET])
        control = Control(world.pool, lambda: config, config)
        async with door(control, tmp_path / "s") as operator:
            assert (await operator.get("/readyz")).text == "ready\n"
            stuck = pid_of(world.pool.processes[0])
            os.kill(stuck, signal.SIGSTOP)
            await world.pool.call_all("ping")
            answer = await operator.get("/readyz")
            assert (answer.status_code, answer.text) == (503, "not ready\n")
            os.kill(stuck, signal.SIGCONT)


async def fails(*_: object, **__: object) -> None:
    raise RuntimeError
