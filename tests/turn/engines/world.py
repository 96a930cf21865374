"""An engine at work among real sockets: what the contract's tests stand on."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Protocol, Self

from tests.turn.engines.certificates import certificate
from turn.engines import Above, Engine, Failure, Streams
from turn.flows import Address, Flow, Packet, Rule, Sample, Transport
from turn.service.engines import EngineMaker

PATIENCE = 5  # seconds before a test that waits has failed
COOKIE = 0x2112A442
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


NO_LIMITS = Streams()


Maker = EngineMaker


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


class Client(Protocol):
    """An end whose packets are whole, however they travel."""

    address: Address

    def send(self, data: bytes, there: Address) -> None: ...
    async def receive(self) -> bytes: ...
    async def receive_from(self) -> tuple[bytes, Address]: ...
    def close(self) -> None: ...


class StreamEnd:
    """A client's connection; what it receives are frames without their padding."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: Address) -> None:
        self.reader = reader
        self.writer = writer
        self.there = there
        self.address = address_of(writer.get_extra_info("sockname"))._replace(transport=there.transport)

    @classmethod
    async def connect(cls, there: Address, *, plain: bool = False) -> Self:
        trust = None
        if there.transport == "tls" and not plain:
            trust = ssl.create_default_context(cafile=certificate().chain)
        return cls(*await asyncio.open_connection(there.host, there.port, ssl=trust), there)

    def send(self, data: bytes, there: Address) -> None:
        assert there == self.there
        self.writer.write(data + bytes(-len(data) % 4))

    async def receive(self) -> bytes:
        return (await self.receive_from())[0]

    async def receive_from(self) -> tuple[bytes, Address]:
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readexactly(4)
            kind, length = struct.unpack("!HH", head)
            rest = await self.reader.readexactly(length + -length % 4 if kind >= 0x4000 else 16 + length)
        return head + (rest[:length] if kind >= 0x4000 else rest), self.there

    async def ended(self) -> bytes:
        """What came until the relay closed the connection."""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionResetError):
                return await self.reader.read()
        return b""

    def reset(self) -> None:
        """Leave without a word that all was said."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.transport.abort()


async def close(ends: Iterable[End], streams: Iterable[StreamEnd]) -> None:
    """All that a test has talked with."""
    for end in ends:
        end.close()
    for stream in streams:
        stream.close()
        with suppress(OSError):
            await stream.writer.wait_closed()


def free(host: str, transport: Transport) -> Address:
    """A place to listen at that nobody had a moment ago."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
        sock.bind((host, 0))
        return address_of(sock.getsockname())._replace(transport=transport)


def address_of(sockaddr: tuple[str, int]) -> Address:
    return Address.of(sockaddr[0], sockaddr[1])


class World:
    """An engine that runs, what it punted, and ends to talk to it with."""

    def __init__(
        self,
        make: Callable[[Sequence[Address], Streams], Engine],
        version: int = 4,
        listen: str | None = None,
        transport: Transport = "udp",
        streams: Streams = NO_LIMITS,
        at: Address | None = None,
    ) -> None:
        """`at` is an address to listen at that need not be free."""
        self.host = LOOPBACK[version]
        self.listener = at or free(listen or self.host, transport)
        if transport == "tls" and streams.certificate is None:
            streams = streams._replace(certificate=certificate())
        self.engine = make([self.listener], streams)
        self.punted: asyncio.Queue[Packet] = asyncio.Queue()
        self.lost: asyncio.Queue[tuple[Address, Address]] = asyncio.Queue()
        self.holding: set[tuple[Address, Address]] = set()  # clients with an allocation, at a listener
        self.failed: asyncio.Queue[Failure] = asyncio.Queue()
        self.mishaps: list[Exception] = []
        self.samples: list[Sample] = []
        self.look: Callable[[Sample], object] = lambda sample: None  # what the answer to one does
        self.ends: list[End] = []
        self.streams: list[StreamEnd] = []
        self.react: Callable[[Packet], object] = lambda packet: None

    def receive(self, packet: Packet) -> None:
        self.punted.put_nowait(packet)
        self.react(packet)

    def lose(self, client: Address, listener: Address) -> None:
        self.lost.put_nowait((client, listener))

    def fail(self, failure: Failure) -> None:
        self.failed.put_nowait(failure)

    def note(self, error: Exception) -> None:
        self.mishaps.append(error)

    def inspect(self, samples: Sequence[Sample]) -> None:
        self.samples += samples
        for sample in samples:
            self.look(sample)

    async def __aenter__(self) -> Self:
        self.task = asyncio.ensure_future(
            self.engine.run(
                Above(
                    self.receive,
                    self.lose,
                    lambda *owner: owner in self.holding,
                    self.fail,
                    self.note,
                    self.inspect,
                )
            )
        )
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        await close(self.ends, self.streams)
        if self.mishaps:
            raise self.mishaps[0]

    def end(self, host: str | None = None) -> End:
        self.ends.append(End(host or self.host))
        return self.ends[-1]

    async def client(self) -> Client:
        """Who comes in as the listener has it; over a stream, it has said something already."""
        if self.listener.transport == "udp":
            return self.end()
        stream = await self.connect()
        stream.send(stun(0x0001, b""), self.listener)
        assert await self.punt() == Packet(self.listener, stream.address, stun(0x0001, b""))
        return stream

    async def connect(self, *, plain: bool = False) -> StreamEnd:
        """Plain: without TLS at a door that speaks it."""
        self.streams.append(await StreamEnd.connect(self.listener, plain=plain))
        return self.streams[-1]

    def open(self) -> Address:
        """A relayed address, at a port that was free a moment ago."""
        while True:
            probe = End(self.host)
            probe.close()
            if self.engine.open(probe.address):
                return probe.address

    def flow(self, client: Client, peer: Address, channel: int | None, relay: Address | None = None) -> Flow:
        return Flow(client.address, self.listener, channel, relay or self.open(), peer)

    def link(self, client: Client, peer: Address, channel: int | None, rule: Rule = Rule()) -> Flow:  # noqa: B008
        flow = self.flow(client, peer, channel)
        self.engine.link(flow, rule)
        return flow

    async def punt(self) -> Packet:
        return await asyncio.wait_for(self.punted.get(), PATIENCE)

    async def failure(self) -> Failure:
        return await asyncio.wait_for(self.failed.get(), PATIENCE)


def framed(flow: Flow, data: bytes, *, fingerprint: bool = False) -> bytes:
    """The client's frame around data to the flow's peer."""
    if flow.channel is None:
        return send_indication(flow.named, data, fingerprint=fingerprint)
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
    assert values[0x0012] == xored(flow.named, frame[8:20])
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
