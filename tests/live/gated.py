"""A relay in a process of its own whose gate is watched: where it listens, and what it refused."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple, cast

from config.file import load_config
from deploy.cli.relay import get
from host.tls import Certificate
from server.ice import IceServers, IceSettings
from server.relay_links import RelayLinks
from server.relay_ways import way_to
from server.signalling.effects import CallVouched
from server.signalling.sdp import split_lines, ufrag_pairs, ufrags_of
from server.store import Network
from server.store.bans import Bans
from tests.interop.certificates import make
from tests.live.turn_clients import PATIENCE, SECRET, Relay, begin_relay
from tests.ports import free_port
from turn.credentials import MintedCredential, mint, user_of

SECONDS = 600
LIMITS = {"allocations": 500}  # more would want more open files than some machines allow
PASSED = frozenset(("check", "dtls", "media"))  # what the gate counts of what it let through

# Of what a network repeats, delays or loses the gate may refuse a few: media that overtake the answer of a
# check, or an answer that comes when its request is forgotten. Nothing else is ever refused of a real call.
NETWORK = frozenset(("no consent", "unasked answer"))


class Gated(NamedTuple):
    relay: Relay
    folder: Path
    trust: Path  # the file that a browser must trust

    def url(self, over: str, port: int | None = None) -> str:
        """Firefox speaks TLS with names only."""
        udp = port or self.relay.port
        return {
            "udp": f"turn:127.0.0.1:{udp}?transport=udp",
            "tcp": f"turn:127.0.0.1:{self.relay.port}?transport=tcp",
            "tls": f"turns:localhost:{self.relay.tls}?transport=tcp",
        }[over]

    async def figures(self) -> Counter[str]:
        """What came to the gate until now, by reason."""
        stats = await asyncio.to_thread(get, load_config(self.folder / "config.yaml"), "/stats")
        counts: Counter[str] = Counter()
        for figure in stats["figures"]:
            if figure["name"] == "calln_relay_gate_packets_total":
                counts[figure["labels"]["reason"]] += int(figure["value"])
        return counts

    async def refused(self, before: Counter[str]) -> dict[str, int]:
        """What the gate refused since then, by reason."""
        return {why: count for why, count in (await self.figures() - before).items() if why not in PASSED}


def account() -> MintedCredential:
    """As the server hands out for each call."""
    return mint(SECRET.encode(), secrets.token_hex(8), int(time.time()) + SECONDS)


class NoBans:
    """A ban list of a server that has banned nobody."""

    ends: ClassVar[dict[Network, int | None]] = {}


class Teller:
    """Tells a relay what our server would tell it of a call whose descriptions it has read."""

    def __init__(self, links: RelayLinks, users: tuple[str, str]) -> None:
        self.links, self.users = links, users
        self.offered: tuple[str, ...] = ()

    async def read(self, description: dict[str, str]) -> dict[str, str]:
        """An answer goes on when the relay knows it."""
        ufrags = ufrags_of(list(split_lines(description["sdp"])))
        if description["type"] == "offer":
            self.offered = ufrags
            return description
        self.links.take_news(CallVouched(self.users, ufrag_pairs(self.offered, ufrags)))
        async with asyncio.timeout(PATIENCE):
            while not all(channel.is_quiet and not channel.state for channel in self.links.channels.values()):
                await asyncio.sleep(0.01)
        return description


@asynccontextmanager
async def telling(relay: Gated, accounts: tuple[MintedCredential, MintedCredential]) -> AsyncIterator[Teller]:
    one, other = (user_of(account.username) for account in accounts)
    ice = IceServers(IceSettings("127.0.0.1", (relay.relay.port,), SECRET.encode(), SECONDS))
    links = RelayLinks(ice, cast("Bans", NoBans()), time.monotonic, time.time)
    links.start(partial(way_to, settings=ice.current, unix_socket=relay.folder / "of another machine"))
    yield Teller(links, (one, other))
    await links.finish()


@asynccontextmanager
async def gated(folder: Path, mode: str = "enforce", **keys: object) -> AsyncIterator[Gated]:
    files = make(folder)
    relay = Relay(free_port(), free_port(), free_port(), {})
    process = await begin_relay(
        relay, folder, Certificate(files.chain, files.key), encrypted_only=mode, limits=LIMITS, **keys
    )
    yield Gated(relay, folder, files.trust)
    process.kill()
    await process.communicate()
