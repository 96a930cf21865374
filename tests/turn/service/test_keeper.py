"""The keeper: what a client was told stands in the file before, and the next process begins with it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.turn.call import VOICE
from tests.turn.core.relayed import CHANNEL, Relayed
from tests.turn.network import PEER, Client, Network, network, unlimited
from turn.core.relay import KeptAllocation, Relay
from turn.service import keeper as keeper_module
from turn.service.allocation_file import AllocationFile, Head
from turn.service.inheritance import inherit
from turn.service.keeper import FORGETFUL, Keeper
from turn.service.relayed_ports import Owner, this_process
from turn.wire.srtp import SAMPLE

GATED = unlimited(encrypted_only="enforce")
DEAD = Owner(1 << 30, 5)

Make = Callable[[Network], Keeper]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Keeper] = []

    def keeper(net: Network) -> Keeper:
        """Of a process; the keeper before is of one that has died."""
        if made:
            made[-1].close()
        file = AllocationFile(tmp_path, "a", Head(b"k" * 32, DEAD, 0, 1, net.now))
        made.append(Keeper(net.relay, file, inherit(tmp_path, "a", this_process())))
        return made[-1]

    yield keeper
    made[-1].forget()
    made[-1].close()
    assert not list(tmp_path.iterdir())


def stands(keeper: Keeper) -> list[KeptAllocation]:
    """What the next process would find, if this one died now."""
    path = keeper.file.path
    copy = path.with_name("copy.1")
    with path.open("rb") as file:
        copy.write_bytes(file.read(1 << 16))
    copy.chmod(0o600)
    found = inherit(path.parent, "copy", this_process())
    kept = found.allocations()
    found.close(taken=True)
    return kept


def living() -> Network:
    net = network(GATED)
    net.now = time.monotonic()
    return net


def test_each_change_is_written_and_the_next_process_begins_with_it(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    net = living()
    keeper, client = make(net), Client(net)
    client.allocate()
    client.permit(PEER)
    keeper.save_changes()
    [kept] = stands(keeper)
    assert (kept.relay, [ip for ip, _ in kept.permissions]) == (client.relay, [PEER.ip])
    net.relay, net.open, net.pinned = Relay(GATED), set(), set()
    after = make(net)
    after.restore(net.run)  # type: ignore[arg-type]  # it takes lists, and gets one
    after.save_changes()
    assert net.open == {client.relay}
    assert stands(after) == [kept]
    assert caplog.messages == ["1 of 1 allocations of the process before go on"]
    client.refresh(0)
    after.save_changes()
    assert stands(after) == []


async def test_consents_are_written_now_and_then(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "RENEW_SECONDS", 0.001)
    net = living()
    keeper, call = make(net), Relayed(net, Client(net), CHANNEL)
    call.open()
    call.talk(SAMPLE)
    keeper.save_changes()
    [before] = stands(keeper)
    [pair] = before.pairs
    assert pair.tested == (VOICE,)
    net.now += 5.0
    call.check()
    keeper.save_changes()
    assert stands(keeper) == [before]  # a check alone is not worth a record at once
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(10):
        while net.relay.has_renewed():
            await asyncio.sleep(0.01)
    running.cancel()
    [after] = stands(keeper)
    assert after.pairs[0].answers[0] == pair.answers[0] + 5.0


def test_without_memory_calls_go_on(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    net = living()
    keeper, client = make(net), Client(net)

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        client.allocate()
        keeper.save_changes()
    [line] = caplog.messages
    assert line.startswith("keeping the allocations for the next process failed")
    assert stands(keeper) == []
    client.refresh(600)
    keeper.save_changes()
    assert len(stands(keeper)) == 1


async def test_who_keeps_nothing_does_nothing() -> None:
    def apply(_: object) -> None:
        raise AssertionError("there is nothing to do")

    FORGETFUL.restore(apply)
    FORGETFUL.save_changes()
    await FORGETFUL.run()
    FORGETFUL.forget()
    FORGETFUL.close()
