"""What the relay's long-lived tasks may meet on a machine in trouble: calls go on, it is said once, and all
is well again when it is over."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aioice import stun

from host import unix_socket
from tests.turn.crowd import crowd, pid_of
from tests.turn.engines.world import PATIENCE
from tests.turn.faults import TROUBLES, Fault, says
from tests.turn.process.operator import controlled
from tests.turn.process.relay_process import Elsewhere, elsewhere
from tests.turn.service.caller import Caller
from tests.turn.service.running import ALICE, Running
from turn.process import addresses, control
from turn.service import gate_news, gate_sync, relayed_ports
from turn.service.gate_sync import GateSync
from turn.service.relayed_ports import RelayedPorts
from turn.service.service import Service

SOON = 0.01  # seconds between two looks


async def look_around(world: Running, folder: Path) -> None:
    """What control.py does beside all else."""
    world.service.ports = RelayedPorts(folder)
    try:
        await controlled(world).watch_addresses()
    finally:
        world.service.ports.close()


async def tell_others(world: Running, folder: Path) -> None:
    await GateSync(world.service, folder).run()


class Task(NamedTuple):
    """A task, where the system fails it, and the subject of the sentence that says so."""

    run: Callable[[Running, Path], Any]
    owner: object
    name: str
    subject: str


MACHINE = "the look at this machine's addresses and processes"
TASKS = {
    "interfaces": Task(look_around, addresses, "own_addresses", MACHINE),
    "the default route": Task(look_around, addresses, "default_sources", MACHINE),
    "processes": Task(look_around, relayed_ports, "start_time", MACHINE),
    "a lock": Task(look_around, fcntl, "flock", MACHINE),
    "a file of what is proven": Task(tell_others, gate_news.GateNews, "save", gate_sync.SAVING),
    "the files of others": Task(tell_others, Path, "glob", gate_sync.LOADING),
    "a socket for others": Task(tell_others, gate_news.GateNews, "__init__", gate_sync.SHARING),
}


@asynccontextmanager
async def at_work(task: Task, world: Running, folder: Path) -> AsyncIterator[asyncio.Task[Any]]:
    running = asyncio.create_task(task.run(world, folder))
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("number", TROUBLES, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("name", TASKS)
async def test_no_error_of_the_system_ends_a_task(
    name: str,
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(control, "LOOK_SECONDS", SOON)
    monkeypatch.setattr(gate_sync, "AGAIN_SECONDS", SOON)
    task = TASKS[name]
    async with Running() as world:
        fault = Fault(monkeypatch, task.owner, task.name)
        fault.number = number if name == "a socket for others" else None
        async with at_work(task, world, tmp_path / "state") as running:
            await asyncio.sleep(0)
            fault.number = number
            await fault.met(3)
            await Caller(world, *ALICE).allocate()
            fault.number = None
            await says(caplog, f"{task.subject} works again")
            assert not running.done()
        assert world.service.mishaps == 0
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    [said] = [text for text in errors if text.startswith(task.subject)]
    pattern = (
        rf"{re.escape(task.subject)} failed: \w+ {errno.errorcode[number]} in \w+\.py:\d+; it is tried again"
    )
    assert re.fullmatch(pattern, said)
    assert "canary" not in caplog.text
    assert str(tmp_path) not in caplog.text


@pytest.mark.parametrize("number", TROUBLES, ids=errno.errorcode.__getitem__)
async def test_a_relayed_port_that_others_cannot_be_told_of_is_given_out(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Running() as world:
        ports = RelayedPorts(tmp_path)
        world.service = Service(world.relay, world.engine, ports)
        fault = Fault(monkeypatch, fcntl, "flock")
        fault.number = number
        for _ in range(2):
            await Caller(world, *ALICE).allocate()
        fault.number = None
        await Caller(world, *ALICE).allocate()
        ports.close()
        assert world.service.mishaps == 0
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


@pytest.mark.parametrize("number", TROUBLES, ids=errno.errorcode.__getitem__)
def test_a_process_that_cannot_be_asked_for_is_not_dead(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its relayed ports stay its own, and so does its socket."""
    one, other = RelayedPorts(tmp_path), RelayedPorts(tmp_path)
    with unix_socket.VersionedSocket(tmp_path / "known.sock") as sock:
        sock.publish()
        files, sockets = Fault(monkeypatch, Path, "read_text"), Fault(monkeypatch, socket, "socket")
        files.number = sockets.number = number
        with pytest.raises(OSError, match="canary"):
            other.free_dead()
        unix_socket.remove_dead(tmp_path / "known.sock")
        files.number = sockets.number = None
        assert (files.times, sockets.times) == (1, 1)
        assert unix_socket.living(tmp_path / "known.sock") == [sock.own_path]
    slots = [slot for slot, owner in other._owners() if owner.process]
    assert slots == [one.slot, other.slot]
    one.close()
    other.close()


@pytest.mark.parametrize("number", TROUBLES, ids=errno.errorcode.__getitem__)
async def test_a_worker_that_died_is_replaced_though_nothing_can_be_cleaned_up(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with crowd(tmp_path) as world:
        fault = Fault(monkeypatch, relayed_ports, "start_time")
        fault.number = number
        [first, _] = world.pool.processes
        os.kill(pid_of(first), 9)
        await fault.met(1)
        fault.number = None
        await serves_again(world.pool.processes)
        assert not world.task.done()
    assert "cleaning up after a worker that has died failed: " in caplog.text


async def serves_again(processes: Any) -> None:
    async with asyncio.timeout(PATIENCE * 3):
        while not all(process.is_serving for process in processes):
            await asyncio.sleep(0.05)


def processes_of(relay: Elsewhere) -> list[int]:
    """The relay's own process, and its workers."""
    children = Path(f"/proc/{relay.process.pid}/task/{relay.process.pid}/children").read_text()
    return [relay.process.pid, *map(int, children.split())]


@contextmanager
def no_descriptor_left(processes: list[int]) -> Iterator[None]:
    """They may open no file and no socket within."""
    before = {process: resource.prlimit(process, resource.RLIMIT_NOFILE) for process in processes}
    for process, (_, hard) in before.items():
        resource.prlimit(process, resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        for process, limits in before.items():
            resource.prlimit(process, resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("workers", [1, 2])
async def test_without_a_descriptor_calls_go_on_and_the_watchdog_is_fed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        async with elsewhere(tmp_path, workers=workers) as relay:
            caller, late, peer = relay.caller(), relay.caller(), relay.end()
            there = await caller.allocate()
            await caller.bind(0x4000, peer.address)
            await late.challenged()
            with no_descriptor_left(processes_of(relay)):
                await relay.says(f"{MACHINE} failed")
                refused = await late.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
                assert refused.attributes["ERROR-CODE"][0] == 508
                peer.send(b"we go on", there)
                assert (await caller.end.receive())[4:] == b"we go on"
                await fed(manager)
            await relay.says(f"{MACHINE} works again")
            await relay.caller().allocate()
            assert relay.process.returncode is None
            failed = [line["text"] for line in relay.log() if " failed: " in line["text"]]
        assert len(failed) == len({text.partition(":")[0] for text in failed})
        assert all(re.search(r"OSError EMFILE in \w+\.py:\d+; it is tried again$", text) for text in failed)


async def fed(manager: socket.socket) -> None:
    """Until the service manager hears from the watchdog anew."""
    manager.setblocking(False)
    while True:  # what was said before
        try:
            manager.recv(100)
        except BlockingIOError:
            break
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.get_running_loop().sock_recv(manager, 100) == b"WATCHDOG=1"


async def test_a_folder_that_was_removed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gate_sync, "AGAIN_SECONDS", SOON)
    folder = tmp_path / "state"
    async with Running() as world, at_work(TASKS["the files of others"], world, folder):
        for _ in range(2):
            async with asyncio.timeout(PATIENCE):
                while not list(folder.glob("ear.*")):
                    await asyncio.sleep(SOON)
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
    assert not caplog.records


def folders_in_memory() -> set[Path]:
    """Those of relays, but not of tests: other processes of tests begin and end meanwhile."""
    return set(Path("/dev/shm").glob("calln-*")) - set(Path("/dev/shm").glob("calln-tests-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_relay_starts_with_a_state_folder_that_cannot_be_written_to(
    tmp_path: Path, workers: int
) -> None:
    """As after a boot with a damaged disk. What it needs to read is there."""
    state = tmp_path / "s"
    state.mkdir()
    (state / "turn.secret").write_text("a secret that was made before\n")
    (state / "turn.secret").chmod(0o600)
    for options in (["--bind", str(state)], ["-o", "remount,ro,bind"]):
        subprocess.run(["mount", *options, state], check=True)
    before = folders_in_memory()
    try:
        async with elsewhere(tmp_path, workers=workers) as relay:
            await relay.caller().allocate()
            [error] = [line["text"] for line in relay.log() if line["level"] == "error"]
            assert re.search(r"OSError EROFS in unix_socket\.py:\d+; this relay serves without it", error)
            relay.process.send_signal(signal.SIGTERM)
            relay.process.send_signal(signal.SIGINT)
            assert await relay.ended() == 0
    finally:
        subprocess.run(["umount", state], check=True)
    assert folders_in_memory() == before
