"""What a service manager hears."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from host import systemd

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


@pytest.mark.parametrize(("asked", "whom", "seconds"), WATCHED)
def test_half_of_what_the_watchdog_asks_for(
    asked: str, whom: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", asked)
    monkeypatch.setenv("WATCHDOG_PID", whom)
    assert systemd.watchdog_seconds() == seconds


async def test_the_watchdog_hears_again_and_again(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    alive = asyncio.create_task(systemd.say_alive())
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

    alive = asyncio.create_task(systemd.say_alive(is_well))
    heard = [await asyncio.to_thread(manager.recv, 100) for _ in range(2)]
    alive.cancel()
    assert heard == [b"WATCHDOG=1"] * 2
    assert len(asked) >= 5
