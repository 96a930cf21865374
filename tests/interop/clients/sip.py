"""A call between two SIP telephones in two networks that have nothing but the relay between them.

A line passes on what each says to the other by SIP. Of candidates it passes relayed ones only: baresip gives
its allocation up when the relay refuses one private peer.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.interop.clients.voice import Counted, report
from tests.interop.homes import RELAY_SIDE, TELEPHONES

CONTACT = re.compile(rb"(?im)^(Contact:.*?)\b10\.77\.\d\.\d(?::\d+)?")
LENGTH = re.compile(rb"(?im)^(Content-Length: *)\d+")
DIRECT = re.compile(rb"(?m)^a=candidate:(?!.* typ relay).*\n")


class Telephone(NamedTuple):
    """One of the two. `line` is where it finds the other, and the relay; `folder` is its own."""

    folder: Path
    namespace: str
    host: str
    line: str
    relay: str  # address and port
    user: str
    password: str
    seconds: int
    calls: bool
    port: int  # for SIP, everywhere


class SipLine(asyncio.DatagramProtocol):
    """The end of the line in one network; `far` is the end in the other.

    Each telephone takes the line for the other one, because it stands in Contact.
    """

    def __init__(self, near: str, telephone: str, port: int) -> None:
        self.near, self.telephone, self.port = near, telephone, port
        self.far: SipLine = self
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, _: object) -> None:
        if data.strip(b"\r\n\0"):  # else a keepalive
            self.far.send(data)

    def send(self, data: bytes) -> None:
        assert self.transport
        self.transport.sendto(passed_on(data, f"{self.near}:{self.port}"), (self.telephone, self.port))


def passed_on(message: bytes, place: str) -> bytes:
    """The same message from this host and port, without candidates that are not relayed."""
    head, end, body = message.partition(b"\r\n\r\n")
    body = DIRECT.sub(b"", body)
    head = LENGTH.sub(b"\\g<1>%d" % len(body), head)
    return CONTACT.sub(f"\\g<1>{place}".encode(), head) + end + body


@asynccontextmanager
async def line(port: int) -> AsyncIterator[None]:
    one, other = (SipLine(*hosts, port) for hosts in zip(RELAY_SIDE, TELEPHONES, strict=True))
    one.far, other.far = other, one
    loop = asyncio.get_running_loop()
    for end in (one, other):
        await loop.create_datagram_endpoint(lambda end=end: end, local_addr=(end.near, port))  # type: ignore[misc]
    try:
        yield
    finally:
        for end in (one, other):
            assert end.transport
            end.transport.close()


async def call(talk: Callable[[Telephone], Awaitable[Counted]], port: int, words: list[str]) -> None:
    """ONE OTHER PORT USER PASSWORD SECONDS: the telephones' namespaces, the relay's port, its account."""
    *namespaces, relay, user, password, seconds = words
    with tempfile.TemporaryDirectory() as folder:
        telephones = [
            Telephone(
                *(Path(folder, name), name, host, far, f"{far}:{relay}", user, password),
                *(int(seconds), calls, port),
            )
            for name, host, far, calls in zip(namespaces, TELEPHONES, RELAY_SIDE, (True, False), strict=True)
        ]
        async with line(port):
            one, other = await asyncio.gather(*map(talk, telephones))
    print(one, other, report(one, other, int(seconds)), sep="\n")
