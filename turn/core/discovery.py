"""Binding requests that find out how a client's NAT behaves (RFC 5780), and those of RFC 3489.

These requests are not signed, so their answers stay small and few: padding is never longer than the
client's own, and an answer to another port of the client counts as an unauthenticated reply to that port.
"""

from __future__ import annotations

from typing import Any

from turn.core.data import Dropped
from turn.core.effects import Effect, Send
from turn.core.exchange import Exchange
from turn.core.peers import is_loopback, rank
from turn.core.settings import Settings
from turn.core.state import RelayState
from turn.errors import BadRequest, RelayError, UnknownAttribute
from turn.flows import Address, Packet
from turn.wire.attributes import (
    CHANGE_REQUEST,
    OTHER_ADDRESS,
    PADDING,
    RESPONSE_ORIGIN,
    RESPONSE_PORT,
    XOR_MAPPED_ADDRESS,
    Attribute,
)
from turn.wire.classic import classic_success, parse_classic
from turn.wire.stun import WireError

ASKED = frozenset((CHANGE_REQUEST.type, PADDING.type, RESPONSE_PORT.type))
CHANGE_IP, CHANGE_PORT = 4, 2  # of CHANGE-REQUEST (RFC 5780 §7.2)


def other_addresses(settings: Settings) -> dict[Address, Address]:
    """For each UDP listener the one with another address and another port, if all four combinations exist."""
    found = ((local, other_than(local, settings)) for local in settings.listeners if local.transport == "udp")
    return {local: other for local, other in found if other is not None}


def other_than(local: Address, settings: Settings) -> Address | None:
    listeners = settings.listeners
    ports = sorted(one.port for one in listeners if one.ip == local.ip and one.transport == "udp")
    ips = {one.ip for one in listeners if len(one.ip) == len(local.ip)} - {local.ip}
    alike = [ip for ip in ips if is_loopback(ip) == is_loopback(local.ip)]
    for ip in sorted(alike, key=lambda ip: rank(settings, ip)):
        for port in ports:
            other = Address(ip, port)
            if port != local.port and {other, Address(ip, local.port)} <= listeners:
                return other
    return None


def reply_source(local: Address, flags: int, other: Address | None) -> Address | None:
    """The address that the answer leaves from; None if we have none that fits."""
    if not flags & (CHANGE_IP | CHANGE_PORT):
        return local
    if other is None:
        return None
    return Address(
        other.ip if flags & CHANGE_IP else local.ip, other.port if flags & CHANGE_PORT else local.port
    )


def discover(exchange: Exchange, other: Address | None) -> list[Effect]:
    """A Binding request (RFC 5780 §6.1)."""
    state, now = exchange.state, exchange.now
    try:
        local, remote = reply_addresses(exchange, other)
    except RelayError as error:
        return [exchange.error_response(error)] if state.may_answer(exchange.client, now) else []
    return [answer_binding(exchange, local, remote, other)] if state.may_answer(remote, now) else []


def reply_addresses(exchange: Exchange, other: Address | None) -> tuple[Address, Address]:
    """Where the answer leaves from, and where it goes: to the client, or to another port of the client.

    Raises BadRequest, and UnknownAttribute for what this listener cannot do or only UDP can.
    """
    message, client = exchange.message, exchange.client
    asked = tuple(kind for kind, _ in message.attributes if kind in ASKED)
    port = message.get(RESPONSE_PORT)
    if asked and client.transport != "udp":
        raise UnknownAttribute(asked)
    if port is not None and message.has(PADDING):
        raise BadRequest("padding to another port")
    local = reply_source(exchange.packet.local, message.get(CHANGE_REQUEST) or 0, other)
    if local is None:
        raise UnknownAttribute((CHANGE_REQUEST.type,))
    return local, client if port is None else client._replace(port=port)


def answer_binding(exchange: Exchange, local: Address, remote: Address, other: Address | None) -> Send:
    destinations, padding = exchange.state.destinations, exchange.message.raw(PADDING)
    rows: list[tuple[Attribute[Any], Any]] = [
        (XOR_MAPPED_ADDRESS, exchange.client),
        (RESPONSE_ORIGIN, destinations.to_public(local)),
    ]
    if other is not None:
        rows.append((OTHER_ADDRESS, destinations.to_public(other)))
    if padding is not None:
        rows.append((PADDING, bytes(len(padding))))
    return Send(exchange.success_response(*rows).packet._replace(local=local, remote=remote))


def answer_classic(state: RelayState, packet: Packet, other: Address | None, now: float) -> list[Effect]:
    """A Binding request without a magic cookie (RFC 3489 §8.1). Raises Dropped."""
    try:
        local = reply_source(packet.local, parse_classic(packet.data), other)
    except WireError:
        raise Dropped("malformed") from None
    if local is None or len(local.ip) != 4 or local.transport != "udp":
        raise Dropped("classic")
    if not state.may_answer(packet.remote, now):
        return []
    state.counts["replies.classic"] += 1
    outer = None if other is None else state.destinations.to_public(other)
    reply = classic_success(packet.data, packet.remote, state.destinations.to_public(local), outer)
    return [Send(Packet(local, packet.remote, reply))]
