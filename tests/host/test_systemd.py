"""What a service manager hears, and the sockets that it hands over to a process that it named."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from host import systemd
from tests.turn.engines.descriptors import few_descriptors

PATIENCE = 5.0


@pytest.fixture(params=["{}/ready", "@calln-test-{}"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A service manager's end: a Unix socket by path, or by an abstract name."""
    name = request.param.format(tmp_path if "/" in request.param else os.getpid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind("\0" + name[1:] if name.startswith("@") else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield sock


def test_the_service_manager_is_told(manager: socket.socket) -> None:
    systemd.notify("READY=1")
    assert manager.recv(100) == b"READY=1"


def test_two_reloads_can_be_told_apart(manager: socket.socket) -> None:
    stamps = []
    for _ in range(2):
        systemd.reloading()
        head, _, stamp = manager.recv(100).partition(b"\nMONOTONIC_USEC=")
        assert head == b"RELOADING=1"
        stamps.append(int(stamp))
    assert 0 < stamps[0] <= stamps[1]


def test_a_service_manager_that_is_gone_is_no_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify("READY=1")


WATCHED = [  # WATCHDOG_USEC, WATCHDOG_PID -> seconds
    ("30000000", "", 15.0),
    ("30000000", str(os.getpid()), 15.0),
    ("30000000", "1", None),
    ("", "", None),
    ("0", "", None),
    ("soon", "", None),
]


@pytest.mark.parametrize(
    ("asked", "process", "seconds"),
    WATCHED,
    ids=["for all", "for us", "for another", "none", "zero", "no number"],
)
def test_half_of_what_the_watchdog_asks_for(
    asked: str, process: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", asked)
    monkeypatch.setenv("WATCHDOG_PID", process)
    assert systemd.watchdog_seconds() == seconds


async def test_the_watchdog_hears_again_and_again(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    alive = asyncio.create_task(systemd.feed_watchdog())
    heard = [await asyncio.to_thread(manager.recv, 100) for _ in range(3)]
    alive.cancel()
    assert heard == [b"WATCHDOG=1"] * 3


async def test_the_watchdog_hears_nothing_while_somebody_does_not_answer(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    asked: list[int] = []

    def is_well() -> bool:
        asked.append(len(asked))
        return asked[-1] in (0, 4)

    alive = asyncio.create_task(systemd.feed_watchdog(is_well))
    heard = [await asyncio.to_thread(manager.recv, 100) for _ in range(2)]
    alive.cancel()
    assert heard == [b"WATCHDOG=1"] * 2
    assert len(asked) >= 5


TOLD = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from host.systemd import inherited_sockets
for name, found in inherited_sockets().items():
    print(name, *(sock.getsockname()[1] for sock in found), *(os.get_inheritable(s.fileno()) for s in found))
print(sorted(name for name in os.environ if name.startswith("LISTEN_")))
"""


def test_each_has_the_name_that_it_was_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [sock.getsockname()[1] for sock in (one, other)]
        moved = f"import os; os.dup2({one.fileno()}, 100); os.dup2({other.fileno()}, 101)\n"
        moved += "os.dup2(100, 3); os.dup2(101, 4); os.dup2(100, 5)\n"
        told = subprocess.run(
            [sys.executable, "-c", moved + TOLD],
            env={**os.environ, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "http:https:http"},
            cwd=Path(__file__).parents[2],
            pass_fds=(one.fileno(), other.fileno()),
            capture_output=True,
            text=True,
            check=True,
        )
    first, second, left = told.stdout.splitlines()
    assert first == f"http {ports[0]} {ports[0]} False False"
    assert second == f"https {ports[1]} False"
    assert left == "[]"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x", "LISTEN_FDNAMES": "http"},
    ],
)
def test_what_is_not_for_us_is_left_alone(environment: dict[str, str]) -> None:
    assert systemd.inherited_sockets(environment) == {}
    assert environment == {}


def test_without_a_descriptor_the_service_manager_is_still_told(manager: socket.socket) -> None:
    systemd.notify("READY=1")
    with few_descriptors():
        systemd.notify("WATCHDOG=1")
    assert [manager.recv(100) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]


def test_a_service_manager_that_does_not_read_holds_nobody_up(manager: socket.socket) -> None:
    for _ in range(2000):  # more than any queue of such sockets holds
        systemd.notify("WATCHDOG=1", 0.0)
    assert manager.recv(100) == b"WATCHDOG=1"
