"""A bad network on the way to a UDP port: it loses, repeats and delays packets, and some overtake others.

What happens to a packet follows from the seed, its way and its number: the same in every run.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import NamedTuple, cast

HERE = "127.0.0.1"
HIGHEST = 1 << 16

Place = tuple[str, int]


class Network(NamedTuple):
    """Shares of all packets, and milliseconds from one to another."""

    lost: float = 0.10
    repeated: float = 0.02
    least: float = 20.0
    most: float = 60.0


class Weather:
    """What becomes of the packets of one way: the seconds until each of its copies arrives."""

    def __init__(self, network: Network, seed: str) -> None:
        self.network, self.seed = network, seed
        self.count = 0

    def next(self) -> list[float]:
        self.count += 1
        dice = hashlib.shake_128(f"{self.seed} {self.count}".encode()).digest(8)
        lost, repeated, *waits = (int.from_bytes(dice[at : at + 2], "big") / HIGHEST for at in range(0, 8, 2))
        if lost < self.network.lost:
            return []
        least, most = self.network.least, self.network.most
        copies = waits if repeated < self.network.repeated else waits[:1]
        return [(least + wait * (most - least)) / 1000 for wait in copies]


class Side(asyncio.DatagramProtocol):
    """One socket of the network; what it hears goes out by `far`, some of it."""

    def __init__(self, impairment: Impairment, seed: str, client: Place | None = None) -> None:
        self.impairment, self.client = impairment, client
        self.weather = Weather(impairment.network, seed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)  # Python 3.11's own is no subclass

    def datagram_received(self, data: bytes, address: Place) -> None:
        copies = self.weather.next()
        self.impairment.fates[len(copies)] += 1
        for wait in copies:
            asyncio.get_running_loop().call_later(wait, self.impairment.carry, self, data, address)


class Impairment:
    """Listens at a port of its own; each client has a socket of its own towards the port behind it."""

    def __init__(self, behind: int, seed: str, network: Network | None = None, host: str = HERE) -> None:
        self.behind, self.seed, self.network = (host, behind), seed, network or Network()
        self.fates: Counter[int] = Counter()  # packets, by how many copies went on
        self.sides: dict[Place, asyncio.Task[Side]] = {}

    async def open(self) -> int:
        """The port to use in place of the one behind."""
        self.front = await self.socket(Side(self, f"{self.seed} there"), local=(HERE, 0))
        return int(self.front.transport.get_extra_info("sockname")[1])

    async def close(self) -> None:
        for side in [self.front, *(await asyncio.gather(*self.sides.values()))]:
            side.transport.abort()

    async def socket(self, side: Side, *, local: Place | None = None, remote: Place | None = None) -> Side:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: side, local_addr=local, remote_addr=remote)
        return side

    def carry(self, side: Side, data: bytes, source: Place) -> None:
        """A copy arrives at the other end, if that is still there."""
        if self.front.transport.is_closing():
            return
        if side.client is not None:
            self.front.transport.sendto(data, side.client)
            return
        if source not in self.sides:
            back = Side(self, f"{self.seed} back {len(self.sides)}", source)
            self.sides[source] = asyncio.create_task(self.socket(back, remote=self.behind))
        self.sides[source].add_done_callback(lambda made: made.result().transport.sendto(data))
