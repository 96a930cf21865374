"""A small trial call through the running relay, with the TURN client of aioice.

Its two ends exchange connectivity checks of ICE (RFC 8445 §7): a relay that forwards only encrypted calls
forwards these, too.
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

TIMEOUT = 8.0  # seconds for the whole call; on one machine it takes 0.1
AGAIN_SECONDS = 0.2
CLOSING_SECONDS = 0.25  # TLS still sends its last bytes when the end knows already that it is closed
UFRAGS = ("does", "echo")  # ICE user fragments of the two ends
PASSWORDS = (b"the first end's password", b"and that of the second")
FIRST_PRIORITY = 0x7EFFFFFF  # of a peer-reflexive candidate (RFC 8445 §5.1.2.1)
LOOPBACK = {4: "127.0.0.1", 16: "::1"}


class TrialFailed(Exception):
    """The trial call failed; says why in a few words."""


class Probe(NamedTuple):
    """A connectivity check of one end and the answer of the other."""

    request: bytes
    response: bytes


def make_probe(which: int) -> Probe:
    """The connectivity check from one of the two ends, and its answer."""
    other = 1 - which
    asked = Message(Method.BINDING, Class.REQUEST)
    asked.attributes["USERNAME"] = f"{UFRAGS[other]}:{UFRAGS[which]}"
    asked.attributes["PRIORITY"] = FIRST_PRIORITY
    answered = Message(Method.BINDING, Class.RESPONSE, transaction_id=asked.transaction_id)
    answered.attributes["XOR-MAPPED-ADDRESS"] = (LOOPBACK[4], 1)  # any address will do here
    for message in (asked, answered):
        message.add_message_integrity(PASSWORDS[other])
    return Probe(bytes(asked), bytes(answered))


class CallEnd(asyncio.DatagramProtocol):
    """One of the two ends: answers the check of the other end and waits for the answer to its own."""

    def __init__(self, asks: Probe, hears: Probe) -> None:
        self.own, self.other = asks, hears
        self.answered = asyncio.Event()
        self.closed = asyncio.Event()
        self.transport: TurnTransport | None = None  # for its answers

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data == self.other.request and self.transport is not None:
            self.transport.sendto(self.other.response, addr)
        if data == self.own.response:
            self.answered.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set()


def client_address(listener: Address) -> tuple[str, int]:
    """Where a client on this machine reaches a listener; for 0.0.0.0 and :: the address that others use."""
    if any(listener.ip):
        return listener.host, listener.port
    source = source_towards(FAR_AWAY[len(listener.ip)])
    host = listener._replace(ip=source).host if source else LOOPBACK[len(listener.ip)]
    return host, listener.port


def make_trial_call(listener: Address, credential: MintedCredential) -> None:
    """Open two allocations and send checks and answers both ways through them. Raises TrialFailed."""
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
    probes = make_probe(0), make_probe(1)
    ends = [CallEnd(*probes), CallEnd(*probes[::-1])]
    try:
        for end in ends:
            end.transport = await open_allocation(listener, credential, end)
            transports.append(end.transport)
        await asyncio.gather(*(send_until_answered(transports, ends, which) for which in (0, 1)))
    finally:
        for transport in transports:
            transport.close()
        await asyncio.gather(*(end.closed.wait() for end in ends[: len(transports)]))
        await asyncio.sleep(CLOSING_SECONDS)


async def open_allocation(listener: Address, credential: MintedCredential, end: CallEnd) -> TurnTransport:
    transport, _ = await create_turn_endpoint(
        lambda: end,
        server_addr=client_address(listener),
        username=credential.username,
        password=credential.password,
        transport="udp" if listener.transport == "udp" else "tcp",
        ssl=unverified() if listener.transport == "tls" else None,
    )
    return transport


def unverified() -> ssl.SSLContext:
    """TLS without a check of the certificate, which another check of the doctor does."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def send_until_answered(
    transports: Sequence[TurnTransport], ends: Sequence[CallEnd], which: int
) -> None:
    """Send the check again and again: the first one may arrive before the other end is ready."""
    other = transports[1 - which].get_extra_info("sockname")
    while not ends[which].answered.is_set():
        transports[which].sendto(ends[which].own.request, other)
        await asyncio.sleep(AGAIN_SECONDS)
