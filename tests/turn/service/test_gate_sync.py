"""Calls that go on in another process than the one that saw their handshake: beside it, or later."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from tests.turn.call import UFRAGS, VOICE, client_hello, hello, request, rtp, server_hello, success
from tests.turn.crowd import Crowd
from tests.turn.engines.world import PATIENCE
from tests.turn.faults import says
from tests.turn.service.caller import Caller
from tests.turn.service.running import Running
from turn.core.relay import Known
from turn.flows import Address
from turn.gate.sessions import Offered, Proven
from turn.service import gate_sync
from turn.service.gate_news import GateNews
from turn.service.gate_sync import GateSync
from turn.wire.dtls import CLIENT_HELLO, SERVER_HELLO
from turn.wire.hello import parse_client_hello
from turn.wire.notices import Notification, UserEnded
from turn.wire.stun import channel_data

CHANNEL = 0x4000
NEW_UFRAGS = (b"new", b"newer")


class Two:
    """Two clients of a relay, each at the other's relayed address."""

    def __init__(self, ends: list[tuple[Caller, Address]], ufrags: tuple[bytes, bytes] = UFRAGS) -> None:
        self.ends, self.ufrags = ends, ufrags
        self.numbers: Iterator[int] = count(1)

    async def bind(self) -> None:
        for (caller, _), (_, there) in zip(self.ends, reversed(self.ends), strict=True):
            await caller.bind(CHANNEL, there)

    async def passes(self, which: int, payload: bytes, seconds: float = PATIENCE) -> bool:
        """Whether what one of them says arrives."""
        (caller, _), (other, _) = self.ends[which], self.ends[1 - which]
        caller.end.send(channel_data(CHANNEL, payload), caller.listener)
        try:
            return await asyncio.wait_for(other.end.receive(), seconds) == channel_data(CHANNEL, payload)
        except TimeoutError:
            return False

    async def consent(self) -> None:
        for which in (0, 1):
            transaction = next(self.numbers).to_bytes(12, "big")
            assert await self.passes(which, request(transaction, self.ufrags[which], self.ufrags[1 - which]))
            assert await self.passes(1 - which, success(transaction))

    async def shake_hands(self) -> None:
        assert await self.passes(0, hello(CLIENT_HELLO, client_hello()))
        assert await self.passes(1, hello(SERVER_HELLO, server_hello()))
        assert await self.passes(0, rtp(VOICE, 1))


@asynccontextmanager
async def relaying(folder: Path) -> AsyncIterator[tuple[Two, Running]]:
    """A relay that has a memory there, and two clients of it."""
    async with Running(encrypted_only="enforce") as world:
        task = asyncio.create_task(GateSync(world.service, folder).run())
        await asyncio.sleep(0)
        callers = [Caller(world, "alice", "password of hers") for _ in range(2)]
        two = Two([(caller, await caller.allocate()) for caller in callers])
        await two.bind()
        yield two, world
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("minutes", [0, 2])
async def test_a_call_goes_on_after_a_restart_of_the_relay(tmp_path: Path, minutes: int) -> None:
    async with relaying(tmp_path) as (two, _):
        await two.consent()
        await two.shake_hands()
    [left] = tmp_path.glob("proved.*")
    wall, _, rest = left.read_text().partition("\n")
    left.write_text(f"{float(wall) - 60 * minutes}\n{rest}")
    async with relaying(tmp_path) as (again, _):
        again.ufrags = NEW_UFRAGS
        await again.consent()
        assert await again.passes(0, rtp(VOICE, 2), 1.0) is (minutes == 0)
        assert await again.passes(0, rtp(VOICE + 1, 1), 0.2) is (minutes == 0)


async def test_what_is_too_old_goes_at_the_start_and_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "proved.dead").write_text("1000.0\n")
    async with relaying(tmp_path) as (two, _):
        assert not list(tmp_path.glob("proved.*"))
        (tmp_path / "proved.older").write_text("1000.0\n")
        await two.consent()
    assert not list(tmp_path.iterdir())


async def test_a_call_goes_on_also_where_the_relay_was_killed_in_its_first_second(tmp_path: Path) -> None:
    async with relaying(tmp_path / "one") as (two, _):
        await two.consent()
        await two.shake_hands()
        async with asyncio.timeout(1.0):
            while not (
                left := [path for path in tmp_path.glob("one/proved.*") if str(VOICE) in path.read_text()]
            ):
                await asyncio.sleep(0.01)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / left[0].name).write_bytes(left[0].read_bytes())  # as it is now
    async with relaying(tmp_path / "other") as (again, _):
        again.ufrags = NEW_UFRAGS
        await again.consent()
        assert await again.passes(0, rtp(VOICE, 2), 1.0)


async def test_what_was_only_told_is_not_told_on(tmp_path: Path) -> None:
    async with relaying(tmp_path) as (two, one), relaying(tmp_path) as (_, other):
        await two.consent()
        await two.shake_hands()
        async with asyncio.timeout(PATIENCE):
            while not len(other.relay._state.allocations.gate.sessions):
                await asyncio.sleep(0.01)
        assert [session.user for session in one.relay.proven_sessions()] == ["alice"]
        assert other.relay.proven_sessions() == other.relay.news() == []


async def test_an_offer_told_late_settles_what_was_chosen_here_and_that_is_told_at_once(
    tmp_path: Path,
) -> None:
    beside = GateNews(tmp_path)
    async with relaying(tmp_path) as (two, _):
        await two.consent()
        assert await two.passes(1, hello(SERVER_HELLO, server_hello()))
        beside.broadcast([Offered("alice", UFRAGS, 0, parse_client_hello(client_hello()))])
        async with asyncio.timeout(PATIENCE):
            while not (heard_back := list(beside.received())):
                await asyncio.sleep(0.01)
        assert heard_back == [Proven("alice", UFRAGS, unified=True, srtp=True)]
        assert await two.passes(0, rtp(VOICE, 1))
    beside.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for a few files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    with suppress(OSError), (disk / "filling").open("wb", buffering=0) as filling:
        while filling.write(bytes(4096)):
            pass
    yield
    (disk / "filling").unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    for option in ("ro", "rw"):
        subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)
        if option == "ro":
            yield


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
@pytest.mark.parametrize(("trouble", "name"), [(full, "ENOSPC"), (read_only, "EROFS")])
async def test_a_disk_in_trouble_ends_no_call_and_what_was_missed_is_saved_later(
    trouble: Callable[[Path], AbstractContextManager[None]],
    name: str,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(gate_sync, "AGAIN_SECONDS", 0.01)
    async with relaying(small_disk) as (two, world):
        with trouble(small_disk):
            await two.consent()
            await two.shake_hands()
            await says(caplog, f"{gate_sync.SAVING} failed: OSError {name} in gate_news.py:")
            assert await two.passes(0, rtp(VOICE, 2))
        await says(caplog, f"{gate_sync.SAVING} works again")
        [saved] = small_disk.glob("proved.*")
        assert str(VOICE) in saved.read_text()
        assert world.service.mishaps == 0
    assert len(caplog.records) == 2


async def test_a_restart_of_ice_may_lead_to_another_worker(tmp_path: Path) -> None:
    crowd = Crowd(tmp_path, encrypted_only="enforce")
    await crowd.start()
    try:
        ends = [await crowd.one_each() for _ in range(2)]
        here, there = (
            Two(list(pair), ufrags)
            for pair, ufrags in zip(zip(*ends, strict=True), (UFRAGS, NEW_UFRAGS), strict=True)
        )
        for two in (here, there):
            await two.bind()
            await two.consent()
        assert not await there.passes(0, rtp(VOICE, 0), 0.1)
        await here.shake_hands()
        tried = [await there.passes(0, rtp(VOICE, number), 0.05) for number in range(2, 12)]
        assert tried[-1], "it was told"
        assert sum(tried) >= len(tried) - 1, "at once"
    finally:
        await crowd.stop()


async def test_the_two_halves_of_a_handshake_may_come_to_two_workers(tmp_path: Path) -> None:
    crowd = Crowd(tmp_path, encrypted_only="enforce")
    await crowd.start()
    try:
        ends = [await crowd.one_each() for _ in range(2)]
        here, there = (Two(list(pair)) for pair in zip(*ends, strict=True))
        for two in (here, there):
            await two.bind()
            await two.consent()
        assert await here.passes(0, hello(CLIENT_HELLO, client_hello()))
        assert await there.passes(1, hello(SERVER_HELLO, server_hello()))
        for two in (here, there):
            tried = [await two.passes(0, rtp(VOICE, number), 0.05) for number in range(10)]
            assert tried[-1], "it was told"
    finally:
        await crowd.stop()


async def test_what_a_server_tells_one_process_ends_allocations_of_all(tmp_path: Path) -> None:
    async with relaying(tmp_path) as (_, one), relaying(tmp_path) as (_, other):
        told = Notification(b"server 1", 1, (UserEnded(600, "alice"),))
        one.service.apply(one.relay.learn(told, time.monotonic()))
        one.service.publish_news()
        async with asyncio.timeout(PATIENCE):
            while list(other.relay.clients()):
                await asyncio.sleep(0.01)
        assert not list(one.relay.clients())
        assert one.relay.news() == other.relay.news() == []
        async with asyncio.timeout(PATIENCE):
            while len(list(tmp_path.glob("proved.*"))) < 2:
                await asyncio.sleep(0.01)
    async with relaying(tmp_path / "elsewhere") as (_, unaware):
        assert unaware.relay.told_counts(time.monotonic())["ended"] == 0
    later = GateNews(tmp_path)
    assert {one.notices[0] for one in later.read_files(time.time()) if isinstance(one, Known)} <= {
        UserEnded(seconds, "alice") for seconds in range(590, 601)
    }
    later.close()
