"""A call in small through the running relay, with a TURN client that is not ours: aioice's.

The two ends say what calls begin with, checks of ICE and their answers (RFC 8445 §7): a relay that forwards
only what is encrypted lets these through as well.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence
from typing import NamedTuple

from aioice.stun import Class, Message, Method, TransactionError
from aioice.turn import TurnTransport, create_turn_endpoint

from turn.credentials import MintedCredential
from turn.flows import Address
from turn.service.public_address import FAR_AWAY, source_towards

TIMEOUT = 8.0  # seconds for all of it; on one machine it takes a tenth of one
AGAIN_SECONDS = 0.2
CLOSING_SECONDS = 0.25  # TLS says goodbye after the ear was told, and a refused client closes unheard
UFRAGS = ("does", "echo")  # of the two ends
PASSWORDS = (b"the first end's password", b"and that of the second")
FIRST_PRIORITY = 0x7EFFFFFF  # of a peer-reflexive candidate (RFC 8445 §5.1.2.1)
LOOPBACK = {4: "127.0.0.1", 16: "::1"}


class TrialFailed(Exception):
    """What went wrong on the way, in a few words."""


class Probe(NamedTuple):
    """What one end asks, and what the other answers."""

    request: bytes
    response: bytes


def make_probe(which: int) -> Probe:
    """A check of ICE from one of the two ends, and its answer."""
    other = 1 - which
    asked = Message(Method.BINDING, Class.REQUEST)
    asked.attributes["USERNAME"] = f"{UFRAGS[other]}:{UFRAGS[which]}"
    asked.attributes["PRIORITY"] = FIRST_PRIORITY
    answered = Message(Method.BINDING, Class.RESPONSE, transaction_id=asked.transaction_id)
    answered.attributes["XOR-MAPPED-ADDRESS"] = (LOOPBACK[4], 1)  # where to is of no matter here
    for message in (asked, answered):
        message.add_message_integrity(PASSWORDS[other])
    return Probe(bytes(asked), bytes(answered))


class CallEnd(asyncio.DatagramProtocol):
    """One of the two ends: answers what the other asks, and hears what it answers."""

    def __init__(self, asks: Probe, hears: Probe) -> None:
        self.own, self.other = asks, hears
        self.answered = asyncio.Event()
        self.closed = asyncio.Event()
        self.transport: TurnTransport | None = None  # what it answers by

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data == self.other.request and self.transport is not None:
            self.transport.sendto(self.other.response, addr)
        if data == self.own.response:
            self.answered.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set()


def client_address(listener: Address) -> tuple[str, int]:
    """Where a client on this machine finds a listener: a wildcard by the address that others see too."""
    if any(listener.ip):
        return listener.host, listener.port
    source = source_towards(FAR_AWAY[len(listener.ip)])
    host = listener._replace(ip=source).host if source else LOOPBACK[len(listener.ip)]
    return host, listener.port


def make_trial_call(listener: Address, credential: MintedCredential) -> None:
    """Two allocations, and through both a question and its answer in both directions. Raises NoEcho."""
    try:
        asyncio.run(asyncio.wait_for(hold_call(listener, credential), TIMEOUT))
    except TransactionError as error:
        raise TrialFailed(str(error) or "no answer") from None
    except ssl.SSLError as error:
        raise TrialFailed(error.reason or "no TLS") from None
    except (OSError, TimeoutError) as error:
        raise TrialFailed(os.strerror(error.errno) if error.errno else "no answer") from None


async def hold_call(listener: Address, credential: MintedCredential) -> None:
    transports: list[TurnTransport] = []
    said = make_probe(0), make_probe(1)
    ears = [CallEnd(*said), CallEnd(*said[::-1])]
    try:
        for ear in ears:
            ear.transport = await open_allocation(listener, credential, ear)
            transports.append(ear.transport)
        await asyncio.gather(*(send_until_answered(transports, ears, which) for which in (0, 1)))
    finally:
        for transport in transports:
            transport.close()
        await asyncio.gather(*(ear.closed.wait() for ear in ears[: len(transports)]))
        await asyncio.sleep(CLOSING_SECONDS)


async def open_allocation(listener: Address, credential: MintedCredential, ear: CallEnd) -> TurnTransport:
    transport, _ = await create_turn_endpoint(
        lambda: ear,
        server_addr=client_address(listener),
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


async def send_until_answered(
    transports: Sequence[TurnTransport], ears: Sequence[CallEnd], which: int
) -> None:
    """To the other's relayed address, until the answer is heard: the first words may come too early."""
    there = transports[1 - which].get_extra_info("sockname")
    while not ears[which].answered.is_set():
        transports[which].sendto(ears[which].own.request, there)
        await asyncio.sleep(AGAIN_SECONDS)
