"""Two networks that meet at the relay only, for telephones: these choose their candidates themselves.

    telephone 10.77.1.2 ── 10.77.1.1 relay 10.77.2.1 ── 10.77.2.2 telephone

Each is a namespace, and nothing is forwarded between them. The relay may send to its own addresses only, so
the telephones need two relayed addresses.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

RELAY_SIDE = ("10.77.1.1", "10.77.2.1")
TELEPHONES = ("10.77.1.2", "10.77.2.2")


class Homes(NamedTuple):
    """The names of the namespaces: the relay's, and each telephone's."""

    relay: str
    one: str
    other: str


@contextmanager
def homes() -> Iterator[Homes]:
    """Needs root."""
    made = Homes(*(f"calln-interop-{os.getpid()}-{name}" for name in Homes._fields))
    with ExitStack() as stack:
        for name in made:
            ip(f"netns add {name}")
            stack.callback(ip, f"netns delete {name}")
            ip(f"-n {name} link set lo up")
        for name, near, far in zip(made[1:], TELEPHONES, RELAY_SIDE, strict=True):
            link = "one" if name == made.one else "other"
            ip(f"-n {made.relay} link add {link} type veth peer name relay netns {name}")
            ip(f"-n {made.relay} address add {far}/24 dev {link}")
            ip(f"-n {name} address add {near}/24 dev relay")
            ip(f"-n {made.relay} link set {link} up")
            ip(f"-n {name} link set relay up")
            ip(f"-n {name} route add default via {far}")
        yield made


def within(name: str, *command: str) -> list[str]:
    """The words that run a command in the namespace of this name."""
    return ["ip", "netns", "exec", name, *command]


def ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True)
