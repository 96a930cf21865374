"""TURN clients that came to our TLS listener, passed on to the relay of this machine: one pipe for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from host.unix_socket import own_names
from server.web.origins import parse_address
from server.web.tls_listener import WRITE_BUFFER
from turn.flows import Address
from turn.wire.proxy_protocol import build_header

FINISH_SECONDS = 5.0  # for the last bytes to be read when the other end has closed
CONNECT_SECONDS = 5.0  # for the relay to accept


class PipeEnd(asyncio.Protocol):
    """One end of a pipe: what it receives, the other end sends."""

    other: PipeEnd
    transport: asyncio.Transport | None = None
    is_gone = False

    def __init__(self, on_gone: Callable[[], None]) -> None:
        self.on_gone = on_gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        """When one direction ends, both end: TURN has no use for half a connection."""
        self.is_gone = True
        self.on_gone()
        self.other.finish()

    def finish(self) -> None:
        """Send what is left, for a limited time."""
        if self.transport is not None and not self.is_gone:
            self.transport.close()
            asyncio.get_running_loop().call_later(FINISH_SECONDS, self.abort)

    def abort(self) -> None:
        if self.transport is not None and not self.is_gone:
            self.transport.abort()


class TurnProxy:
    """Passes connections on to the relay's Unix socket at `path`. `count` is called for each that fails."""

    def __init__(self, path: Path, count: Callable[[str], None]) -> None:
        self.path = path
        self.count = count
        self.clients: set[PipeEnd] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def forward(self, transport: asyncio.Transport, first: bytes, ended: Callable[[], None]) -> None:
        """From now on this connection goes to the relay, beginning with `first`. `ended` is called when it
        has ended."""
        transport.pause_reading()

        def gone() -> None:
            self.clients.discard(client)
            ended()

        client = PipeEnd(gone)
        client.other = PipeEnd(lambda: None)
        client.other.other = client
        client.connection_made(transport)
        transport.set_protocol(client)
        self.clients.add(client)
        task = asyncio.get_running_loop().create_task(self.connect_client(client, first))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def connect_client(self, client: PipeEnd, first: bytes) -> None:
        assert client.transport is not None, "it is connected"
        try:
            header = build_header(*endpoints(client.transport))
            async with asyncio.timeout(CONNECT_SECONDS):
                relay = await self.connect_relay(client.other)
        except (OSError, ValueError):
            self.count("no relay")
            client.abort()
            return
        if client.is_gone:
            relay.abort()
            return
        relay.write(header + first)
        client.transport.resume_reading()

    async def connect_relay(self, end: PipeEnd) -> asyncio.Transport:
        """The newest relay, or another one if that has died. Raises OSError."""
        loop = asyncio.get_running_loop()
        for path in self.socket_paths():
            try:
                transport, _ = await loop.create_unix_connection(lambda: end, str(path))
            except OSError:
                continue
            return transport
        raise ConnectionRefusedError

    def socket_paths(self) -> Iterator[Path]:
        yield self.path
        yield from own_names(self.path)

    def close(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        for client in list(self.clients):
            client.abort()


def endpoints(transport: asyncio.Transport) -> tuple[Address, Address]:
    """The client's address and ours. Raises ValueError if the client has gone already."""
    ends = (transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
    found = [(parse_address(end[0]), end[1]) for end in ends if end]
    named = [Address(ip.packed, port, "tls") for ip, port in found if ip is not None]
    if len(named) != len(ends):
        raise ValueError
    return named[0], named[1]
