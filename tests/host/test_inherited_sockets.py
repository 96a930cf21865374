"""Sockets that a service manager hands over, by name, to a process that it named."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from host.inherited_sockets import inherited

TOLD = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from host.inherited_sockets import inherited
for name, found in inherited().items():
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
    assert inherited(environment) == {}
    assert environment == {}
