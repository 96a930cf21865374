"""An engine at work among real sockets: what the contract's tests stand on."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Protocol, Self

from turn.engines import Engine
from turn.engines.portable import Portable
from turn.flows import Address, Flow, Packet, Rule

PATIENCE = 5  # seconds before a test that waits has failed
COOKIE = 0x2112A442
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


class Maker(Protocol):
    def __call__(self, listen: Sequence[Address]) -> Engine: ...


ENGINES: dict[str, Maker] = {"portable": Portable}


class End:
    """A UDP socket of somebody else: a client's or a peer's."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((host, port))
        self.address = address_of(self.sock.getsockname())

    def send(self, data: bytes, there: Address) -> None:
        self.sock.sendto(data, (there.host, there.port))

    async def receive(self) -> bytes:
        return (await self.receive_from())[0]

    async def receive_from(self) -> tuple[bytes, Address]:
        loop = asyncio.get_running_loop()
        data, source = await asyncio.wait_for(loop.sock_recvfrom(self.sock, 65536), PATIENCE)
        return data, address_of(source)

    def close(self) -> None:
        self.sock.close()


def address_of(sockaddr: tuple[str, int]) -> Address:
    return Address.of(sockaddr[0], sockaddr[1])


class World:
    """An engine that runs, what it punted, and ends to talk to it with."""

    def __init__(self, make: Maker, version: int = 4, listen: str | None = None) -> None:
        self.host = LOOPBACK[version]
        probe = End(listen or self.host)
        self.listener = probe.address
        probe.close()
        self.engine = make([self.listener])
        self.punted: asyncio.Queue[Packet] = asyncio.Queue()
        self.ends: list[End] = []
        self.react: Callable[[Packet], object] = lambda packet: None

    def receive(self, packet: Packet) -> None:
        self.punted.put_nowait(packet)
        self.react(packet)

    async def __aenter__(self) -> Self:
        self.task = asyncio.ensure_future(self.engine.run(self.receive))
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        for end in self.ends:
            end.close()

    def end(self, host: str | None = None) -> End:
        self.ends.append(End(host or self.host))
        return self.ends[-1]

    def open(self) -> Address:
        """A relayed address, at a port that was free a moment ago."""
        while True:
            probe = End(self.host)
            probe.close()
            if self.engine.open(probe.address):
                return probe.address

    def flow(self, client: End, peer: Address, channel: int | None, relay: Address | None = None) -> Flow:
        return Flow(client.address, self.listener, channel, relay or self.open(), peer)

    def link(self, client: End, peer: Address, channel: int | None, rule: Rule = Rule()) -> Flow:  # noqa: B008
        flow = self.flow(client, peer, channel)
        self.engine.link(flow, rule)
        return flow

    async def punt(self) -> Packet:
        return await asyncio.wait_for(self.punted.get(), PATIENCE)


def framed(flow: Flow, data: bytes, *, fingerprint: bool = False) -> bytes:
    """The client's frame around data to the flow's peer."""
    if flow.channel is None:
        return send_indication(flow.peer, data, fingerprint=fingerprint)
    return struct.pack("!HH", flow.channel, len(data)) + data


def unframed(flow: Flow, frame: bytes) -> bytes:
    """The data in a frame towards the client; fails for any other frame than this flow's."""
    if flow.channel is not None:
        channel, length = struct.unpack_from("!HH", frame)
        assert (channel, length) == (flow.channel, len(frame) - 4)
        return frame[4:]
    kind, length, cookie = struct.unpack_from("!HHI", frame)
    assert (kind, length, cookie) == (0x0017, len(frame) - 20, COOKIE)
    values = dict(attributes(frame))
    assert values[0x0012] == xored(flow.peer, frame[8:20])
    return values[0x0013]


def attributes(message: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 20
    while at < len(message):
        kind, length = struct.unpack_from("!HH", message, at)
        found.append((kind, message[at + 4 : at + 4 + length]))
        at += 4 + length + (-length % 4)
    assert at == len(message)
    return found


def xored(peer: Address, transaction: bytes) -> bytes:
    mask = struct.pack("!I", COOKIE) + transaction
    ip = bytes(a ^ b for a, b in zip(ip_address(peer.ip).packed, mask, strict=False))
    return struct.pack("!HH", 1 if len(ip) == 4 else 2, peer.port ^ 0x2112) + ip


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def stun(kind: int, body: bytes, transaction: bytes = b"transaction!") -> bytes:
    return struct.pack("!HHI", kind, len(body), COOKIE) + transaction + body


def send_indication(peer: Address, data: bytes, *, fingerprint: bool = False) -> bytes:
    transaction = b"a" + peer.port.to_bytes(2) + b"ransact!!"
    body = attribute(0x0012, xored(peer, transaction)) + attribute(0x0013, data)
    return with_fingerprint(body, transaction) if fingerprint else stun(0x0016, body, transaction)


def with_fingerprint(body: bytes, transaction: bytes, spoil: int = 0) -> bytes:
    from_here = stun(0x0016, body + bytes(8), transaction)[: 20 + len(body)]
    return from_here + attribute(0x8028, struct.pack("!I", crc32(from_here) ^ 0x5354554E ^ spoil))


def crc32(data: bytes) -> int:
    """CRC-32 bit by bit, so that the tests do not ask the same function as the code."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
