"""A relay is killed, and the next one starts: no client loses anything that it has."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from aioice import stun

from tests.turn.engines.world import framed, unframed
from tests.turn.process.relay_process import Elsewhere, elsewhere
from tests.turn.service.caller import Caller, ended
from tests.turn.service.kept import kept_files
from turn.flows import Address, Flow

CALLS = 200  # each with a peer
NO_LIMITS = dict.fromkeys(
    ("allocations_per_user", "allocations_per_address", "unauthenticated_per_second", "new_peers_per_second"),
    0,
)
CHANNEL = 0x4000


async def begin(relay: Elsewhere, peer: Address) -> tuple[Caller, Flow]:
    caller = relay.caller()
    there = await caller.allocate()
    assert await caller.bind(CHANNEL, peer) is stun.Class.RESPONSE
    return caller, Flow(caller.end.address, relay.listener, CHANNEL, there, peer)


@pytest.mark.parametrize("workers", [1, 2])
async def test_two_hundred_calls_go_on_after_each_of_two_deaths(tmp_path: Path, workers: int) -> None:
    async with elsewhere(tmp_path, limits=NO_LIMITS, workers=workers) as relay:
        peer = relay.end()
        calls = [await begin(relay, peer.address) for _ in range(CALLS)]
        for _ in range(2):
            await relay.die()
            for caller, flow in calls:
                caller.end.send(framed(flow, b"we go on"), relay.listener)
                assert await peer.receive_from() == (b"we go on", flow.relay)
                peer.send(b"so do we", flow.relay)
                assert unframed(flow, await caller.end.receive()) == b"so do we"
                answer = await caller.ask(stun.Method.REFRESH, LIFETIME=600)
                assert answer.message_class is stun.Class.RESPONSE  # with the nonce of the first process
        assert len(kept_files(relay.folder / "s")) == workers
        async with relay.operator() as operator:
            assert len((await operator.get("/sessions")).json()["sessions"]) == CALLS
        for caller, _ in calls:
            assert await ended(caller) is stun.Class.RESPONSE
        await relay.die()
        async with relay.operator() as operator:
            assert (await operator.get("/sessions")).json() == {"sessions": []}


@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3), (1, 2), (2, 1)])
@pytest.mark.parametrize("place", ["127.0.0.1", "0.0.0.0"])
async def test_with_another_number_of_workers_each_client_finds_its_calls(
    tmp_path: Path, before: int, after: int, place: str
) -> None:
    async with elsewhere(tmp_path, limits=NO_LIMITS, workers=before) as relay:
        listen = f"udp://{place}:{relay.listener.port}"
        calls = [await begin(relay, relay.end().address) for _ in range(12)]
        relay.write(listen=listen, workers=after)
        await relay.die()
        for _ in range(2):
            for caller, _ in calls:
                answer = await caller.ask(stun.Method.REFRESH, LIFETIME=600)
                assert answer.message_class is stun.Class.RESPONSE
        strangers = [await begin(relay, relay.end().address) for _ in range(8)]
        for caller, _ in [*calls, *strangers]:
            assert await ended(caller) is stun.Class.RESPONSE


@pytest.mark.parametrize("draining", [False, True])
async def test_who_is_to_pass_on_its_calls_ends_at_once_and_they_go_on(
    tmp_path: Path, draining: bool
) -> None:
    async with elsewhere(tmp_path) as relay:
        caller, _ = await begin(relay, relay.end().address)
        if draining:
            relay.process.send_signal(signal.SIGTERM)
            await relay.says("ending; 1 allocations go on")
        relay.process.send_signal(signal.SIGUSR1)
        assert await relay.ended() == 0
        assert relay.log()[-1]["text"] == "ended; 1 allocations are left to the next process"
        await relay.start()
        assert await ended(caller) is stun.Class.RESPONSE


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_end_that_was_asked_for_leaves_nothing(tmp_path: Path, workers: int) -> None:
    async with elsewhere(tmp_path, drain_seconds=0, workers=workers) as relay:
        await begin(relay, relay.end().address)
        assert len(kept_files(relay.folder / "s")) == workers
        relay.process.send_signal(signal.SIGTERM)
        assert await relay.ended() == 0
        assert kept_files(relay.folder / "s") == []


async def test_what_is_kept_can_be_read_by_nobody_else(tmp_path: Path) -> None:
    async with elsewhere(tmp_path) as relay:
        [file] = kept_files(relay.folder / "s")
        assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, os.geteuid())


@pytest.mark.parametrize("spoil", [b"", b"x" * 5000], ids=["cut", "overwritten"])
async def test_with_a_spoilt_file_it_serves_as_ever(tmp_path: Path, spoil: bytes) -> None:
    async with elsewhere(tmp_path) as relay:
        caller, _ = await begin(relay, relay.end().address)
        relay.process.kill()
        await relay.process.communicate()
        [file] = kept_files(relay.folder / "s")
        file.write_bytes(spoil)
        await relay.start()
        await relay.says("kept allocations are not taken: another version has written them")
        assert await ended(caller) is stun.Class.ERROR
        await asyncio.wait_for(begin(relay, relay.end().address), 10)
