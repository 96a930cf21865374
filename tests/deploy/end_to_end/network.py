"""A network that leads nowhere: machines side by side; outside of them browsers, authority, operator."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

NETWORK = "203.0.113"  # RFC 5737 §3: for documentation, so nothing real is meant even by mistake
OUTSIDE = f"{NETWORK}.1"
NAMES = Path("/etc/netns")  # ip-netns(8): files here stand in /etc for what runs inside


class Network:
    """A namespace for the outside with a bridge in it, and one for each machine. Needs root."""

    def __init__(self) -> None:
        self.name = f"calln-{os.getpid()}-{secrets.token_hex(2)}"
        self.namespaces: list[str] = []

    def open(self) -> None:
        self.add(self.name)
        ip("-n", self.name, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.name, "address", "add", f"{OUTSIDE}/24", "dev", "bridge")
        ip("-n", self.name, "link", "set", "bridge", "up")
        folder = NAMES / self.name
        folder.mkdir(parents=True)
        (folder / "resolv.conf").write_text(f"nameserver {OUTSIDE}\n")

    def add(self, namespace: str) -> None:
        ip("netns", "add", namespace)
        self.namespaces.append(namespace)
        ip("-n", namespace, "link", "set", "lo", "up")

    def plug(self, port: str, address: str) -> str:
        """A namespace with this address, for a machine; its name."""
        namespace = f"{self.name}-{port}"
        self.add(namespace)
        ip("-n", self.name, *f"link add {port} type veth peer name eth0 netns {namespace}".split())
        ip("-n", self.name, "link", "set", port, "master", "bridge", "up")
        ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "route", "add", "default", "via", OUTSIDE)
        return namespace

    def outside(self, *command: str) -> list[str]:
        """The words that run a command outside of the machines."""
        return ["ip", "netns", "exec", self.name, *command]

    def program(self, path: Path, command: Sequence[str]) -> Path:
        """A file that runs a program outside, for a caller that wants a path."""
        path.write_text(f'#!/bin/sh\nexec {" ".join(self.outside(*command))} "$@"\n')
        path.chmod(0o755)
        return path

    def close(self) -> None:
        for namespace in reversed(self.namespaces):
            ip("netns", "delete", namespace)
        shutil.rmtree(NAMES / self.name)
        with suppress(OSError):  # another network's file is there, or it is gone already
            NAMES.rmdir()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
