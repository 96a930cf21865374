"""A new version starts while calls run: no client is cut off, refused or answered by the wrong version."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aioice import stun

from tests.turn.engines.certificates import certificate
from tests.turn.engines.world import framed, free
from tests.turn.versions import CHANNEL, LONG, WHOLE, Call, Succession, Talker, Version, own_network
from turn.flows import Flow
from turn.process import upgrade
from turn.workers import worker_process

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")

PLACES = [("127.0.0.1", 1), ("::", 1), ("0.0.0.0", 2), ("::1", 2)]  # and how many workers
IDLE = 60  # clients that hold an allocation and say nothing


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with own_network():
        yield


async def newcomers(world: Succession, count: int) -> list[Talker]:
    talkers = [await world.caller() for _ in range(count)]
    for talker in talkers:
        await talker.allocate()
    return talkers


@asynccontextmanager
async def renewing(calls: list[Call], idle: list[Talker]) -> AsyncIterator[None]:
    """Meanwhile all ask for what they have, again and again, and are never refused."""

    over = asyncio.Event()

    async def renew() -> None:
        while not over.is_set():
            for call in calls:
                await call.renew()
            for talker in idle:
                assert await talker.refresh() is stun.Class.RESPONSE
            await asyncio.sleep(0.02)

    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        over.set()
        await task


@pytest.mark.parametrize(("place", "workers"), PLACES)
async def test_calls_go_on_and_strangers_come_to_the_new_one(
    tmp_path: Path, place: str, workers: int
) -> None:
    async with Succession(tmp_path, place, workers=workers) as world, world.version() as old:
        calls = [
            await world.call("udp"),
            await world.call("udp", None),
            await world.call("tcp"),
            await world.call("tls", None),
        ]
        idle = await newcomers(world, IDLE)
        async with world.version() as new:
            async with renewing(calls, idle):
                both = await newcomers(world, 12)
                at_new = await new.allocations()
                assert await old.allocations() + at_new == 4 + IDLE + 12
                old.terminate()
                await asyncio.sleep(1.0)
                late = [await world.caller(transport) for transport in ("udp", "udp", "tcp", "tls")]
                for talker in late:
                    await talker.allocate()
                assert await new.allocations() == at_new + 4
                await asyncio.sleep(2.5)
                for talker in both + late:
                    assert await talker.refresh() is stun.Class.RESPONSE
            assert [await call.stop() for call in calls] == [WHOLE] * 4
            assert min(call.sent for call in calls) > 200
            for talker in [*idle, *both, *(call.talker for call in calls)]:
                assert await talker.refresh(0) is stun.Class.RESPONSE
            assert await old.ended() == 0


async def test_callers_of_both_versions_meet(tmp_path: Path) -> None:
    async with Succession(tmp_path) as world, world.version() as old:
        one = await world.caller()
        first = await one.allocate()
        async with world.version() as new:
            old.terminate()
            await asyncio.sleep(0.5)
            two = await world.caller()
            second = await two.allocate()
            assert [await old.allocations(), await new.allocations()] == [1, 1]
            for talker, there in ((one, second), (two, first)):
                assert await talker.bind(CHANNEL, there) is stun.Class.RESPONSE
            for talker, relay, there in ((one, first, second), (two, second, first)):
                flow = Flow(talker.end.address, talker.listener, CHANNEL, relay, there)
                talker.end.send(framed(flow, b"hello"), talker.listener)
            async with asyncio.timeout(LONG):
                while not (one.sorted.heard and two.sorted.heard):
                    await asyncio.sleep(0.01)
            assert one.sorted.heard == two.sorted.heard == [b"hello"]


async def test_at_the_ports_of_one_that_was_killed_nobody_is_ours(tmp_path: Path) -> None:
    """Any program may have them from then on, and so they are no peers."""
    async with Succession(tmp_path, allow_loopback_peers=False) as world, world.version() as old:
        there = await (await world.caller()).allocate()
        async with world.version():
            old.process.kill()
            await old.ended()
            one = await world.caller()
            await one.allocate()
            async with asyncio.timeout(LONG):
                while await one.bind(CHANNEL, there) is stun.Class.RESPONSE:
                    await asyncio.sleep(0.5)


async def test_a_new_one_that_cannot_start_changes_nothing(tmp_path: Path) -> None:
    async with Succession(tmp_path) as world, world.version() as old:
        call, [idle] = await world.call("udp"), await newcomers(world, 1)
        world.config.write(key=str(certificate("another").key))
        process = await world.start()
        async with asyncio.timeout(LONG):
            await process.communicate()
        assert process.returncode == os.EX_UNAVAILABLE
        assert "another certificate" in (tmp_path / "log").read_text()
        await newcomers(world, 3)
        async with world.config.operator() as operator:
            assert (await operator.get("/readyz")).text == "ready\n"
        await call.renew()
        assert await idle.refresh() is stun.Class.RESPONSE
        assert await call.stop() == WHOLE
        assert await old.allocations() == 5


WAYS_TO_GO = {  # of a new one that is ready: what its process hears
    "rolled back": signal.SIGTERM,
    "killed": signal.SIGKILL,
}


@pytest.mark.parametrize("way", WAYS_TO_GO)
async def test_when_a_new_one_goes_again_the_old_one_is_found_and_serves(tmp_path: Path, way: str) -> None:
    async with Succession(tmp_path) as world, world.version() as old:
        call = await world.call("udp")
        async with world.version() as new:
            new.process.send_signal(WAYS_TO_GO[way])
            async with asyncio.timeout(LONG):
                while process_at(tmp_path / "s" / upgrade.SOCKET) != old.process.pid:
                    await asyncio.sleep(0.05)
        async with world.config.operator() as operator:
            assert (await operator.get("/readyz")).text == "ready\n"
        before = await old.allocations()
        await newcomers(world, 3)
        assert await old.allocations() == before + 3
        await call.renew()
        assert await call.stop() == WHOLE


async def test_a_new_one_that_is_to_end_leaves_strangers_to_the_old_one(tmp_path: Path) -> None:
    async with Succession(tmp_path) as world, world.version() as old, world.version() as new:
        both = await newcomers(world, 12)
        at_new = await new.allocations()
        assert 0 < at_new < 12
        new.terminate()
        await asyncio.sleep(0.5)
        await newcomers(world, 8)
        assert [await old.allocations(), await new.allocations()] == [20 - at_new, at_new]
        for talker in both:
            assert await talker.refresh(0) is stun.Class.RESPONSE
        assert await new.ended() == 0
        await newcomers(world, 2)
        assert await old.allocations() == 10


def process_at(door: Path) -> int | None:
    """Whose it is, if it is of one of them."""
    try:
        return peer_process(door)
    except OSError:
        return None


async def test_one_that_is_ending_already_gives_its_strangers_to_the_new_one(tmp_path: Path) -> None:
    async with Succession(tmp_path) as world, world.version() as old:
        call = await world.call("udp")
        old.terminate()
        async with asyncio.timeout(LONG):
            while not (await old.figures())["draining"]:
                await asyncio.sleep(0.05)
        async with world.version() as new:
            await newcomers(world, 8)
            assert [await old.allocations(), await new.allocations()] == [1, 8]
            await call.renew()
            assert await call.stop() == WHOLE


async def test_a_third_one_finds_the_first_when_the_second_has_died(tmp_path: Path) -> None:
    port = free("127.0.0.1", "tcp").port
    keys = {"metrics_listen": f"127.0.0.1:{port}"}
    async with Succession(tmp_path, "0.0.0.0", **keys) as world, world.version() as old:
        call = await world.call("udp")
        async with world.version():
            old.terminate()
            await asyncio.sleep(0.5)
        async with world.version() as third:
            await newcomers(world, 4)
            assert [await old.allocations(), await third.allocations()] == [1, 4]
            await call.renew()
            assert await call.stop() == WHOLE
            async with httpx.AsyncClient() as anybody:
                page = (await anybody.get(f"http://127.0.0.1:{port}/metrics")).text
            assert 'calln_relay_allocations{family="ipv4",transport="udp"} 4.0' in page


async def test_two_that_start_at_once_know_of_each_other(tmp_path: Path) -> None:
    async with Succession(tmp_path) as world:
        both = [await world.start() for _ in range(2)]
        try:
            for process in both:
                assert process.stdout
                await asyncio.wait_for(process.stdout.readline(), LONG)
            [newest] = [door for door in world.doors() if door.samefile(tmp_path / "s" / upgrade.SOCKET)]
            [first] = [door for door in world.doors() if door != newest]
            os.kill(peer_process(first), signal.SIGTERM)
            await asyncio.sleep(1.0)
            await newcomers(world, 6)
            assert await Version(both[0], newest).allocations() == 6
        finally:
            for process in both:
                if process.returncode is None:
                    process.kill()
                await process.communicate()


def peer_process(door: Path) -> int:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(door))
        return upgrade.peer_process(sock)


async def test_who_hangs_at_its_start_keeps_nobody_waiting_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "START_SECONDS", 0.2)
    async with upgrade.sharing(tmp_path) as hanging:
        async with upgrade.sharing(tmp_path) as waiting:
            assert (hanging.lock is None, waiting.lock is None) == (False, True)
        hanging.unlock()
        async with upgrade.sharing(tmp_path) as other:
            assert other.lock is not None


async def test_a_relay_of_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with Succession(tmp_path) as world, world.version() as old:
        stranger = Succession(tmp_path / "other")
        stranger.config.write(listen=world.config.keys["listen"])
        process = await stranger.start()
        async with asyncio.timeout(LONG):
            await process.communicate()
        assert process.returncode == os.EX_UNAVAILABLE
        assert "cannot listen at" in (tmp_path / "other" / "log").read_text()
        await newcomers(world, 3)
        assert await old.allocations() == 3


ANSWERS = {  # what comes of asking; does it share?
    "shares": (b"HTTP/1.1 200 OK\r\n\r\nshared\n", True),
    "an older version": (b"HTTP/1.1 404 Not Found\r\n\r\n", False),
    "something else": (b"HTTP/1.1 200 OK\r\n\r\nhello\n", False),
    "no answer": (b"", False),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_who_shares_and_who_does_not(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, shares = ANSWERS[name]

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\r\n\r\n") == upgrade.REQUEST
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(reply, tmp_path / f"{upgrade.SOCKET}.1")
    async with server, upgrade.sharing(tmp_path) as older:
        assert bool(older) is shares
        await asyncio.wait_for(older.until_left(), LONG)
    assert caplog.messages == ([] if shares else ["an older relay of this machine does not share its ports"])


async def test_one_that_hangs_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upgrade, "PATIENCE", 0.3)
    over = asyncio.Event()

    async def shares(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWERS["shares"][0])
        await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    living = await asyncio.start_unix_server(shares, tmp_path / f"{upgrade.SOCKET}.1")
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / f"{upgrade.SOCKET}.0"))
        hanging.listen()
        async with living, upgrade.sharing(tmp_path) as older:
            assert len(older.connections) == 1
        await asyncio.wait_for(over.wait(), LONG)
    assert caplog.messages == [
        f"an older relay hangs and may keep clients waiting; end process {os.getpid()}: kill -9 {os.getpid()}"
    ]


def test_a_start_that_takes_long_is_waited_for() -> None:
    assert upgrade.START_SECONDS > upgrade.PATIENCE + worker_process.START_SECONDS


async def test_what_is_no_door_stays(tmp_path: Path) -> None:
    other = tmp_path / f"{upgrade.SOCKET}.old"
    other.touch()
    async with upgrade.sharing(tmp_path) as older:
        assert not older
    assert other.exists()


async def test_a_door_that_nobody_is_behind_is_taken_away(tmp_path: Path) -> None:
    stale = tmp_path / f"{upgrade.SOCKET}.1"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(stale))
    async with upgrade.sharing(tmp_path) as older:
        assert not older
    assert not stale.exists()
    async with upgrade.sharing(tmp_path / "nowhere") as older:
        assert not older
