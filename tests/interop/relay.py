"""The relays that the foreign clients meet: real processes on loopback, and one between two networks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.interop.certificates import make
from tests.interop.homes import RELAY_SIDE, TELEPHONES, Homes, homes, within
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0  # seconds for the relay to begin on a busy machine
USER, PASSWORD = "alice", "password of hers"
JANUS = "janus"  # has the same one
SECRET = "a secret for foreign clients"
CREDENTIAL_SECONDS = 600
RELAY_PORTS = 2000  # each relay's; clients that do not say good-bye keep theirs for ten minutes
PORT = 3478  # in a network of its own
FIRST_RELAY_PORT = 28000  # below the ports that the system gives out
HOSTS = {"IPv4": "127.0.0.1", "IPv6": "::1"}
SECOND = "127.0.0.2"  # RFC 5780 needs another address, and another port

# What each relay has beside the ports and accounts that both have.
KINDS: dict[str, Mapping[str, Any]] = {
    "as it is": {},
    "every option": {"sha256": True, "behaviour_discovery": True, "classic_stun": True},
    "encrypted only": {"encrypted_only": "enforce"},
}
# One kind more, in the namespaces that tests/interop/homes.py makes.
BETWEEN_HOMES = "encrypted only, between two networks"
# Many clients share loopback and one user here.
NO_LIMITS = dict.fromkeys(
    ("allocations_per_user", "allocations_per_address", "new_peers_per_second", "unauthenticated_per_second"),
    0,
)


class Relay(NamedTuple):
    """Where it listens, and the root certificate that its TLS clients have to trust."""

    port: int  # UDP and TCP
    second: int
    tls: int
    trust: Path
    homes: Homes | None = None


@asynccontextmanager
async def running(kind: str, folder: Path) -> AsyncIterator[Relay]:
    """A relay on loopback of this kind until the caller is done."""
    files = make(folder)
    relay = Relay(free_port(), free_port(), free_port(), files.trust)
    low = FIRST_RELAY_PORT + RELAY_PORTS * list(KINDS).index(kind)
    turn = {
        "listen": places(relay),
        "certificate": str(files.chain),
        "key": str(files.key),
        "relay_ports": f"{low}-{low + RELAY_PORTS - 1}",
        "allow_loopback_peers": True,
        "encrypted_only": "off",  # plain words are said here
        **KINDS[kind],
    }
    async with started(folder, turn):
        yield relay


@asynccontextmanager
async def between_homes(folder: Path) -> AsyncIterator[Relay]:
    """A relay where two networks meet, which carries encrypted calls only, until the caller is done."""
    with homes() as made:
        relay = Relay(PORT, 0, 0, folder, made)
        turn = {
            "listen": [f"{host}:{PORT}" for host in RELAY_SIDE],
            "allow_peers": [f"{host}/32" for host in (*RELAY_SIDE, *TELEPHONES)],
            "encrypted_only": "enforce",
        }
        async with started(folder, turn, *within(made.relay)):
            yield relay


@asynccontextmanager
async def started(folder: Path, turn: Mapping[str, Any], *around: str) -> AsyncIterator[None]:
    """A relay with these keys and the accounts that all have; `around` are words in front of its command."""
    accounts = {"users": dict.fromkeys((USER, JANUS), PASSWORD), "secret": SECRET, "limits": NO_LIMITS}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"site": {"state_dir": str(folder)}, "turn": {**accounts, **turn}}))
    process = await begin(file, *around)
    try:
        yield
    finally:
        process.kill()  # told to end, it would let what lives go on
        await process.communicate()


def places(relay: Relay) -> list[str]:
    hosts = [host if "." in host else f"[{host}]" for host in HOSTS.values()]
    plain = [f"{host}:{relay.port}" for host in hosts]
    corners = [
        f"udp://{host}:{port}" for host in (HOSTS["IPv4"], SECOND) for port in (relay.port, relay.second)
    ]
    return [*plain, *corners[1:], *(f"tls://{host}:{relay.tls}" for host in hosts)]


async def begin(file: Path, *around: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(*around, sys.executable, "-m", "deploy.cli", "relay", "--config", str(file)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    if not line.startswith(b"calln relay: "):
        raise RuntimeError(f"the relay did not begin: {line.decode(errors='replace')}")
    return process


def time_limited(name: str = "bob") -> tuple[str, str]:
    """A name and a password as a service would hand out that shares the relay's secret."""
    user = f"{int(time.time()) + CREDENTIAL_SECONDS}:{name}-{secrets.token_hex(4)}"
    digest = hmac.digest(SECRET.encode(), user.encode(), hashlib.sha1)
    return user, base64.b64encode(digest).decode()
