"""What is said of a machine's buffers, files and clock."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import resource
from pathlib import Path

import pytest

from config.file import parse_config
from deploy.doctor import machine
from deploy.doctor.machine import Finding, LocalMachine, check_store
from server.store.sqlite import FILE
from tests.deploy.doctor.local_machine import local_machine
from tests.server.serving import serving
from tests.turn.engines import land
from turn.engines.loop.sockets import LISTENER_BUFFER


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another account")
def test_a_file_of_another_account_in_the_state_folder_is_named(tmp_path: Path) -> None:
    config = parse_config(f"site: {{state_dir: '{tmp_path}'}}", Path("c.yaml"))
    (tmp_path / "relayed.map").touch()
    assert list(machine.check_owners(LocalMachine(config, None))) == []
    os.chown(tmp_path, 12345, 12345)
    [finding] = machine.check_owners(LocalMachine(config, None))
    assert not finding.well
    assert str(tmp_path / "relayed.map") in finding.text
    assert finding.advice == f"run: chown --recursive --no-dereference 12345: {tmp_path}"
    os.chown(tmp_path, 0, 0)


BUFFERS = [(LISTENER_BUFFER, True), (LISTENER_BUFFER - 1, False)]


@pytest.mark.parametrize(("granted", "well"), BUFFERS)
def test_small_buffers_are_told(
    granted: int, well: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rmem_max").write_text(f"{granted}\n")
    monkeypatch.setattr(machine, "RECEIVE_LIMIT", tmp_path / "rmem_max")
    [finding] = machine.check_buffers(local_machine())
    assert finding.well is well


def test_how_many_files_a_full_relay_takes() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    [enough] = machine.check_descriptors(local_machine(limits={"allocations": 10, "connections": 10}))
    assert (enough.well, str(hard) in enough.text or hard == resource.RLIM_INFINITY) == (True, True)
    [few] = machine.check_descriptors(local_machine(limits={"allocations": 1 << 40}))
    assert few.well is (hard == resource.RLIM_INFINITY)
    assert few.text.startswith("A relay started here")


ALLOWED = [
    ([1000.0], False, "1000"),
    ([20_000.0], True, "20000"),
    ([9_000.0] * 2, True, "18000"),
    ([], True, "any number of"),
]


@pytest.mark.parametrize(("said", "well", "words"), ALLOWED)
def test_how_many_files_the_running_relay_may_have(said: list[float], well: bool, words: str) -> None:
    figures = [{"name": "calln_relay_files_allowed", "labels": {}, "value": value} for value in said]
    [finding] = machine.check_descriptors(local_machine(figures))
    assert (finding.well, finding.text.startswith(f"The relay may open {words} files")) == (well, True)


ENGINES = [  # what the gate demands, and what runs -> what is found
    ("enforce", [("kernel", "")], "ride in the kernel", "within 30 seconds"),
    ("off", [("kernel", ""), ("kernel", "")], "ride in the kernel", "within 300 seconds"),
    ("enforce", [("portable", "the moon is full")], "as they cannot ride", "the moon is full."),
    ("enforce", [("portable", "")], "carries calls itself", "as turn.engine wants it"),
]


@pytest.mark.parametrize(("gate", "running", "what", "more"), ENGINES)
def test_what_carries_calls_and_what_they_pass_by(
    gate: str, running: list[tuple[str, str]], what: str, more: str
) -> None:
    figures = [
        {"name": "calln_relay_engine", "labels": {"engine": name, "reason": why}, "value": 1}
        for name, why in running
    ]
    [found] = machine.check_engine(local_machine(figures, encrypted_only=gate))
    assert found.well
    assert what in found.text
    assert more in found.text


def test_of_a_relay_that_does_not_run_nothing_is_said_of_its_engine() -> None:
    assert not list(machine.check_engine(local_machine([])))
    assert not list(machine.check_engine(local_machine()))


def test_an_interface_that_calls_do_not_ride_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("a network of its own needs root")
    monkeypatch.setattr(machine, "KERNEL_FILES", tmp_path)
    (tmp_path / "release/0").mkdir(parents=True)
    network = land.Place()
    with network.inside():
        assert not list(machine.check_interfaces(local_machine())), "an old kernel"
        (tmp_path / "release/0/link-1").touch()
        assert not list(machine.check_interfaces(local_machine()))
        land.ip("link add near type veth peer name far")
        [finding] = machine.check_interfaces(local_machine())
    os.close(network.descriptor)
    assert not finding.well
    assert "come in by far, near do not" in finding.text


class Clock:
    """A machine whose clock is in this state."""

    def __init__(self, state: int, error: int) -> None:
        self.state, self.error = state, error

    def adjtimex(self, structure: object) -> int:
        ctypes.set_errno(self.error)
        return self.state


@pytest.mark.parametrize(
    ("state", "error", "well", "words"),
    [
        (0, 0, True, "synchronised"),
        (5, 0, False, "not synchronised"),
        (-1, errno.EFAULT, False, "cannot be read"),
        (-1, errno.EPERM, True, "uses the clock of its host"),
    ],
)
def test_a_clock_that_nobody_sets(
    state: int, error: int, well: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [finding.text.split()[0] for finding in machine.check_clock(local_machine())] == ["The"]
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Clock(state, error))
    [finding] = machine.check_clock(local_machine())
    assert (finding.well, words in finding.text) == (well, True)


async def test_the_ban_list_of_the_running_server(tmp_path: Path) -> None:
    config = parse_config(f"site: {{state_dir: {tmp_path}}}", tmp_path / "config.yaml")
    told = LocalMachine(config, None)
    assert list(check_store(told)) == [], "no server runs here"
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    async with serving(tmp_path):
        well, aside = await asyncio.to_thread(lambda: list(check_store(told)))
        assert well == Finding(True, "The ban list and the call log can be written.")
        assert f"{FILE}.damaged-" in aside.text
        assert not aside.well
        for path in tmp_path.glob(f"{FILE}*"):
            path.unlink()
        (tmp_path / FILE).mkdir()
        await asyncio.sleep(0.1)  # some ticks
        [ill] = await asyncio.to_thread(lambda: list(check_store(told)))
        assert str(tmp_path / FILE) in ill.text
        assert "memory only" in ill.advice


@pytest.mark.parametrize(("room", "well"), [(0, True), (1 << 60, False)])
def test_a_full_disk_is_told(room: int, well: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOM", room)
    config = parse_config(f"site: {{state_dir: '{tmp_path}'}}", Path("c.yaml"))
    [finding] = machine.check_disk(LocalMachine(config, None))
    assert finding.well is well
    assert finding.text.startswith(f"The disk of {tmp_path} has ")
