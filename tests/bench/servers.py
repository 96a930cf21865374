"""How the relays that are compared are started: without limits, one process, the same transports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from tests.bench.cable import LOAD, SERVER, SERVER_CORE, Net, Watched, end, start
from tests.turn.engines.certificates import certificate

USER, PASSWORD = "bench", "password for the bench"
PORTS = {"udp": 3478, "tcp": 3478, "tls": 5349}
NO_LIMITS = (
    "allocations_per_user",
    "allocations_per_address",
    "allocations",
    "packets_per_second",
    "bits_per_second",
    "unauthenticated_per_second",
    "unauthenticated_in_all",
    "new_peers_per_second",
    "connections",
    "connections_per_address",
)


def coturn(
    folder: Path, _: str, __: int = 0, program: str = "turnserver", options: Sequence[str] = ()
) -> list[str]:
    shown = certificate()
    return [
        program, "-n", f"--cert={shown.chain}", f"--pkey={shown.key}", "--no-dtls", "--no-cli",
        "--no-stdout-log", "--log-file=/dev/null", "--lt-cred-mech", "--realm=call",
        f"--user={USER}:{PASSWORD}", f"--listening-ip={SERVER}", f"--relay-ip={SERVER}",
        "--relay-threads=1", f"--pidfile={folder}/pid", f"--db={folder}/db", *options,
    ]  # fmt: skip


def calln(folder: Path, gate: str, strangers: int = 0, engine: str = "portable") -> list[str]:
    shown = certificate()
    turn = {
        "listen": [f"{transport}://{SERVER}:{port}" for transport, port in PORTS.items()],
        "certificate": str(shown.chain),
        "key": str(shown.key),
        "users": {USER: PASSWORD},
        "allow_peers": [f"{SERVER}/32", f"{LOAD}/32"],
        "limits": {**dict.fromkeys(NO_LIMITS, 0), "unauthenticated_per_second": strangers},
        "encrypted_only": gate,
        "engine": engine,
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"site": {"state_dir": str(folder)}, "turn": turn}))
    return [sys.executable, "-m", "deploy.cli", "relay", "--config", str(file)]


SERVERS: dict[str, Callable[[Path, str, int], list[str]]] = {
    "coturn": coturn,
    "calln": calln,
    "kernel": partial(calln, engine="kernel"),
}


class Server(Watched):
    """One of them, at work; `folder` holds its configuration and state. `gate` is what ours does about what
    is not encrypted: nothing, where what is offered is no call. `strangers` is how many of an address it
    answers in a second; 0: all, which is what coturn does."""

    def __init__(
        self, net: Net, name: str, priority: int, stack: ExitStack, gate: str = "off", strangers: int = 0
    ) -> None:
        self.folder = Path(stack.enter_context(TemporaryDirectory(prefix="calln-bench-")))
        quiet = subprocess.DEVNULL
        errors = quiet if name == "coturn" else None  # coturn misses SCTP here
        command = SERVERS[name](self.folder, gate, strangers)
        self.process = start(net.server, SERVER_CORE, priority, command, stdout=quiet, stderr=errors)
        stack.callback(end, self.process)
        super().__init__(self.process.pid)
