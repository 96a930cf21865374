"""A folder that stands in for a machine: releases, state, and a systemctl that keeps its units in a file."""

from __future__ import annotations

import json
import os
import shlex
import socketserver
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from deploy.agent import lock, releases, systemd

STAND_IN = Path(__file__).with_name("systemctl.py")


class Ready(BaseHTTPRequestHandler):
    """A process that is ready."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        return


class Machine(NamedTuple):
    """What a test looks at."""

    folder: Path

    @property
    def states(self) -> dict[str, str]:
        said: dict[str, str] = json.loads((self.folder / "units").read_text())
        return {name.removeprefix("calln-").removesuffix(".service"): state for name, state in said.items()}

    def has(self, **states: str) -> None:
        """Units as `relay@1="active"`, with the at sign written as two underscores."""
        full = {f"calln-{name.replace('__', '@')}.service": state for name, state in states.items()}
        (self.folder / "units").write_text(json.dumps(full))

    def keeps(self, *names: str) -> None:
        """Releases, the oldest first."""
        for age, name in enumerate(names):
            (releases.RELEASES / name).mkdir(parents=True)
            (releases.RELEASES / name / "config.py").write_text(name)
            os.utime(releases.RELEASES / name, (1000 + age, 1000 + age))

    @property
    def told(self) -> list[str]:
        return (self.folder / "told").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in (
        ("systemctl", [sys.executable, "-S", str(STAND_IN)]),
        ("journalctl", ["echo", "the last words"]),
        ("systemd-run", ["true"]),
    ):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("UNITS", str(tmp_path / "units"))
    monkeypatch.setattr(releases, "RELEASES", tmp_path / "releases")
    monkeypatch.setattr(releases, "CURRENT", tmp_path / "current")
    monkeypatch.setattr(releases, "WANTS", tmp_path / "wants")
    monkeypatch.setattr(systemd, "STATE", tmp_path)
    monkeypatch.setattr(systemd, "READY_SECONDS", 0.2)
    monkeypatch.setattr(lock.exclusive.__wrapped__, "__defaults__", (tmp_path / "lock",))  # type: ignore[attr-defined]
    one = Machine(tmp_path)
    one.has()
    return one


@pytest.fixture
def ready(machine: Machine) -> Iterator[Machine]:
    """Whatever starts there says that it is ready."""
    servers = [
        socketserver.ThreadingUnixStreamServer(str(machine.folder / name), Ready)
        for name in systemd.SOCKETS.values()
    ]
    threads = [Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    yield machine
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join()
