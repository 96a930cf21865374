"""A call in small through the running relay, with a TURN client that is not ours: aioice's."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence

from aioice.stun import TransactionError
from aioice.turn import TurnTransport, create_turn_endpoint

from turn.credentials import Credential
from turn.flows import Address
from turn.outside import FAR, source_towards

PATIENCE = 8.0  # seconds for all of it; on one machine it takes a tenth of one
AGAIN_SECONDS = 0.2
CLOSING_SECONDS = 0.25  # TLS says goodbye after the ear was told, and a refused client closes unheard
WORDS = b"does it echo?"
LOOPBACK = {4: "127.0.0.1", 16: "::1"}


class NoEcho(Exception):
    """What went wrong on the way, in a few words."""


class Ear(asyncio.DatagramProtocol):
    """One of the two ends."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.closed = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data == WORDS:
            self.heard.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set()


def reached_at(listener: Address) -> tuple[str, int]:
    """Where a client on this machine finds a listener: a wildcard by the address that others see too."""
    if any(listener.ip):
        return listener.host, listener.port
    source = source_towards(FAR[len(listener.ip)])
    host = listener._replace(ip=source).host if source else LOOPBACK[len(listener.ip)]
    return host, listener.port


def echo(listener: Address, credential: Credential) -> None:
    """Two allocations, and words through both in both directions. Raises NoEcho."""
    try:
        asyncio.run(asyncio.wait_for(talk(listener, credential), PATIENCE))
    except TransactionError as error:
        raise NoEcho(str(error) or "no answer") from None
    except ssl.SSLError as error:
        raise NoEcho(error.reason or "no TLS") from None
    except (OSError, TimeoutError) as error:
        raise NoEcho(os.strerror(error.errno) if error.errno else "no answer") from None


async def talk(listener: Address, credential: Credential) -> None:
    transports: list[TurnTransport] = []
    ears = [Ear(), Ear()]
    try:
        for ear in ears:
            transports.append(await allocate(listener, credential, ear))
        await asyncio.gather(*(speak(transports, ears, which) for which in (0, 1)))
    finally:
        for transport in transports:
            transport.close()
        await asyncio.gather(*(ear.closed.wait() for ear in ears[: len(transports)]))
        await asyncio.sleep(CLOSING_SECONDS)


async def allocate(listener: Address, credential: Credential, ear: Ear) -> TurnTransport:
    transport, _ = await create_turn_endpoint(
        lambda: ear,
        server_addr=reached_at(listener),
        username=credential.username,
        password=credential.password,
        transport="udp" if listener.transport == "udp" else "tcp",
        ssl=unverified() if listener.transport == "tls" else None,
    )
    return transport


def unverified() -> ssl.SSLContext:
    """The way is tried here; whether browsers trust the certificate is a question of its own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def speak(transports: Sequence[TurnTransport], ears: Sequence[Ear], which: int) -> None:
    """To the other's relayed address, until the other has heard: the first words may come too early."""
    there = transports[1 - which].get_extra_info("sockname")
    while not ears[1 - which].heard.is_set():
        transports[which].sendto(WORDS, there)
        await asyncio.sleep(AGAIN_SECONDS)
