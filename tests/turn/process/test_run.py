"""Real relay processes: they print where they listen, drain at a signal, and read a new configuration."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from aioice import stun

from host.startup import Unavailable
from tests.ports import free_port
from tests.turn.engines.world import End
from tests.turn.process.relay_process import PATIENCE, ROOT, Elsewhere, elsewhere
from tests.turn.service.running import SECRET, turn
from turn.config.limits import RelayLimits
from turn.config.section import Turn
from turn.flows import Address
from turn.process import run as process
from turn.process.upgrade import LOCK
from turn.service import public_address
from turn.service.from_config import RelayConfig
from turn.service.relayed_ports import start_time


class Manager:
    """A service manager's ear."""

    def __init__(self, place: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(PATIENCE)
        self.sock.bind(str(place))

    async def hears(self) -> str:
        return (await asyncio.to_thread(self.sock.recv, 200)).decode()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.sock.close()


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGINT, 2)])
async def test_it_says_where_it_is_and_ends_when_asked(
    tmp_path: Path, manager: Manager, number: signal.Signals, workers: int
) -> None:
    async with elsewhere(tmp_path, workers=workers) as relay:
        assert await manager.hears() == "READY=1"
        stranger = relay.end()
        stranger.send(b"\0\1\0\0\x21\x12\xa4\x42transaction!", relay.listener)
        assert len(await stranger.receive()) == 32
        relay.process.send_signal(number)
        assert await relay.ended() == 0
        assert await manager.hears() == "STOPPING=1"
        assert relay.log()[-1]["text"] == "ended; 0 allocations were cut off"
        assert str(stranger.address.port) not in str(relay.log())
        assert not (tmp_path / "s" / "relay.sock").exists()


@pytest.mark.parametrize("workers", [1, 3])
async def test_what_lives_goes_on_and_nobody_new_comes(
    tmp_path: Path, manager: Manager, workers: int
) -> None:
    async with elsewhere(tmp_path, workers=workers) as relay:
        caller, peer, late = relay.caller(), relay.end(), relay.caller()
        there = await caller.allocate()
        assert await manager.hears() == "READY=1"
        relay.process.send_signal(signal.SIGTERM)
        assert await manager.hears() == "STOPPING=1"
        await relay.says("ending; 1 allocations go on")  # each worker has been told by then
        await caller.bind(0x4000, peer.address)
        peer.send(b"we go on", there)
        assert (await caller.end.receive())[4:] == b"we go on"
        await late.challenged()
        refused = await late.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
        assert refused.attributes["ERROR-CODE"][0] == 508
        assert relay.process.returncode is None
        await caller.ask(stun.Method.REFRESH, LIFETIME=0)
        assert await relay.ended() == 0


@pytest.mark.parametrize(("keys", "signals"), [({"drain_seconds": 1}, 1), ({}, 2), ({"workers": 2}, 2)])
async def test_the_limit_and_a_second_signal_end_what_lives(
    tmp_path: Path, manager: Manager, keys: dict[str, object], signals: int
) -> None:
    async with elsewhere(tmp_path, **keys) as relay:
        await relay.caller().allocate()
        assert await manager.hears() == "READY=1"
        heard: list[str] = []
        for _ in range(signals):
            assert relay.process.returncode is None
            relay.process.send_signal(signal.SIGTERM)
            heard = heard or [await manager.hears()]
        assert heard == ["STOPPING=1"]
        assert await relay.ended() == 0
        assert relay.log()[-1]["text"] == "ended; 1 allocations were cut off"


@pytest.mark.parametrize("workers", [1, 2])
async def test_new_users_after_a_signal_and_a_broken_file_changes_nothing(
    tmp_path: Path, manager: Manager, workers: int
) -> None:
    async with elsewhere(tmp_path, workers=workers) as relay:
        assert await manager.hears() == "READY=1"
        caller = relay.caller()
        await caller.allocate()
        for keys in ({"users": {"alice": "short"}}, {"users": {"bob": "password of his"}}):
            relay.write(**keys)
            relay.process.send_signal(signal.SIGHUP)
            assert (await manager.hears()).startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert await manager.hears() == "READY=1"
        texts = [line["text"] for line in relay.log()]
        assert "the configuration has not changed: 1 problems; calln check shows them" in texts
        assert texts[-1] == "the configuration was read again; changed keys that need a restart: 0"
        async with relay.operator() as operator:
            assert (await operator.get("/sessions")).json() == {"sessions": []}  # alice is no longer known


async def test_a_hangup_may_come_before_it_serves(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with (tmp_path / "s" / LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another one starts, so it waits
        hanging_up = asyncio.create_task(hang_up(lock.name))
        hanging_up.add_done_callback(lambda _: fcntl.flock(lock, fcntl.LOCK_UN))
        async with elsewhere(tmp_path) as relay:
            await hanging_up
            await relay.says("the configuration was read again")


async def hang_up(file: str) -> None:
    """To the child of ours that has opened this file."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    async with asyncio.timeout(PATIENCE):
        while True:
            for child in map(int, children.read_text().split()):
                if file in opened_by(child):
                    os.kill(child, signal.SIGHUP)
                    return
            await asyncio.sleep(0.02)


def opened_by(process: int) -> set[str]:
    with suppress(OSError):
        return {os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir()}
    return set()


async def test_figures_over_tcp(tmp_path: Path, manager: Manager) -> None:
    port = free_port()
    async with elsewhere(tmp_path, metrics_listen=f"127.0.0.1:{port}") as relay:
        await relay.caller().allocate()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            page = (await client.get("/metrics")).text
            assert (await client.get("/sessions")).status_code == 404
        assert 'calln_relay_allocations{family="ipv4",transport="udp"} 1.0' in page
        assert "alice" not in page


async def test_an_operator_of_several(tmp_path: Path, manager: Manager) -> None:
    async with elsewhere(tmp_path, workers=3) as relay, relay.operator() as operator:
        callers = [relay.caller() for _ in range(12)]
        relays = [await caller.allocate() for caller in callers]
        shown = (await operator.get("/sessions")).json()["sessions"]
        ids = sorted(f"{there.host}:{there.port}" for there in relays)
        assert sorted(session["id"] for session in shown) == ids
        page = (await operator.get("/metrics")).text
        assert "calln_relay_workers 3.0" in page
        assert 'calln_relay_allocations{family="ipv4",transport="udp"} 12.0' in page
        assert 'calln_relay_refusals_total{code="401"} 12.0' in page
        assert "process_resident_memory_bytes" in page
        figures = (await operator.get("/stats")).json()["figures"]
        assert {"name": "calln_relay_workers", "labels": {}, "value": 3.0} in figures
        assert (await operator.post("/kill", json={"id": ids[0]})).json() == {"ended": 1}
        assert (await operator.post("/kill", json={"user": "alice"})).json() == {"ended": 11}
        relay.write(users={"alice": "short"})
        assert (await operator.post("/reload")).status_code == 422
        await relay.caller().allocate()
        assert (await operator.get("/readyz")).status_code == 200
        drained = await operator.post("/drain")
        assert drained.json() == {"draining": True, "sessions": 1}


async def test_workers_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    async with elsewhere(tmp_path, workers=2) as relay:
        place = Path(f"/proc/{relay.process.pid}/task/{relay.process.pid}/children")
        children = [int(pid) for pid in place.read_text().split()]
        assert len(children) == 2
        relay.process.kill()
        async with asyncio.timeout(PATIENCE):
            while any(map(start_time, children)):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_process_that_cannot_listen_says_so(tmp_path: Path, workers: int) -> None:
    squatter = End()
    relay = Elsewhere(tmp_path, listen=str(squatter.address), workers=workers)
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "turn", "--config", str(relay.file)), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await started.communicate()
    squatter.close()
    assert started.returncode == os.EX_UNAVAILABLE
    assert errors.decode().startswith(f"cannot listen at {squatter.address}: ")


def never() -> RelayConfig:
    raise AssertionError("nobody reloads here")


async def test_an_address_to_relay_from_must_be_ours(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"turn\.relay_addresses: 192\.0\.2\.99"):
        await process.serve(never, RelayConfig(turn(relay_addresses=["192.0.2.99"]), [SECRET]), tmp_path)


async def test_loopback_peers_are_not_for_a_machine_in_public(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = frozenset({Address.of("127.0.0.1", 0).ip, Address.of("2600::5", 0).ip})
    monkeypatch.setattr(process, "own_addresses", lambda: own)
    told = turn(listen=f"udp://0.0.0.0:{free_port()}", allow_loopback_peers=True)
    with pytest.raises(Unavailable, match=r"turn\.allow_loopback_peers: this machine has a public address"):
        await asyncio.wait_for(process.serve(never, RelayConfig(told, [SECRET]), tmp_path), PATIENCE)


async def test_a_public_address_that_nobody_tells_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_address, "source_towards", lambda host: Address.of("10.0.0.5", 0).ip)
    told = turn(external_ip="auto", allow_loopback_peers=False, listen="udp://0.0.0.0:3478")
    with pytest.raises(Unavailable, match=r"turn\.stun_servers"):
        await process.serve(never, RelayConfig(told, [SECRET]), tmp_path)


async def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told: Turn = turn(listen=f"udp://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match=r"turn\.sock: .*site\.state_dir"):
        await process.serve(never, RelayConfig(told, [SECRET]), tmp_path / "file")


def test_too_few_descriptors_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    process.warn_of_few_descriptors(1 << 20, RelayLimits())
    process.warn_of_few_descriptors(None, RelayLimits())
    assert not caplog.records
    process.warn_of_few_descriptors(4096, RelayLimits())
    assert "LimitNOFILE" in caplog.text


async def test_all_tasks_are_ended_and_the_first_failure_is_told_with_its_place() -> None:
    async def fails_at_its_end(word: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError(word)

    async def lasts() -> None:
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(one) for one in (lasts(), fails_at_its_end("a"), fails_at_its_end("b"))]
    tasks.append(asyncio.create_task(lasts()))
    await asyncio.sleep(0)
    with pytest.raises(KeyError, match="a") as problem:
        await process.cancel(tasks)
    assert all(task.done() for task in tasks)
    assert "fails_at_its_end" in {entry.name for entry in problem.traceback}
