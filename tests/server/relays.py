"""A relay's core that a server speaks to without a network, and the ways there: some lose things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.relay_ways import RelayWay
from tests.turn.network import LISTENER, Network, network, unlimited
from turn.credentials import server_key
from turn.flows import Address, Packet
from turn.policies import Accounts

SECRET = b"0123456789abcdef"
HERE = Address.of("198.51.99.1", 45000)


def told_relay(*secrets: bytes) -> Network:
    """Each start has a nonce key of its own."""
    secrets = secrets or (SECRET,)
    keys = {"nonce_key": bytes([len(STARTED)]) * 32, "server_keys": tuple(map(server_key, secrets))}
    STARTED.append(secrets[0])
    return network(unlimited(encrypted_only="enforce", users=Accounts({}, secrets), **keys))


STARTED: list[bytes] = []


class FakeWay:
    """To a relay in this process. `lose` says of a request whether it is lost."""

    def __init__(self, relay: Network, lose: Callable[[bytes], bool], *, is_reliable: bool) -> None:
        self.relay, self.lose, self.is_reliable = relay, lose, is_reliable
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        if self.lose(data):
            return
        left: list[Packet] = self.relay.deliver(LISTENER, HERE, data)
        for packet in left:
            self.answers.put_nowait(packet.data)

    async def receive(self) -> bytes:
        return await self.answers.get()


class Relays:
    """Where ways lead: the relay that runs now, or None."""

    def __init__(self, relay: Network | None, *, is_reliable: bool = False) -> None:
        self.relay, self.is_reliable = relay, is_reliable
        self.lose: Callable[[bytes], bool] = lambda data: False
        self.ways: list[FakeWay] = []
        self.opened = 0  # or tried to be

    @asynccontextmanager
    async def open_way(self) -> AsyncIterator[RelayWay]:
        self.opened += 1
        if self.relay is None:
            raise ConnectionRefusedError
        way = FakeWay(self.relay, self.lose, is_reliable=self.is_reliable)
        self.ways.append(way)
        yield way

    @property
    def heard(self) -> int:
        """How many requests have told the relay something."""
        return self.relay.relay.counts["notifications"] if self.relay else 0

    def counts(self) -> dict[str, int]:
        assert self.relay is not None
        return dict(self.relay.relay.told_counts(self.relay.now))
