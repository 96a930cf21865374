"""Which public address this machine has: first its own interfaces say it, then the STUN servers of the
configuration. No other server is asked."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from host.settings import HostPort, IPAddress
from turn.config.section import Turn
from turn.config.values import External
from turn.errors import BadRequest
from turn.flows import Address
from turn.wire.attributes import MAPPED_ADDRESS, XOR_MAPPED_ADDRESS
from turn.wire.stun import BINDING_REQUEST, SUCCESS, WireError, build, parse

FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}  # by the bytes of an address
FAR_AWAY = {4: "192.0.2.1", 16: "2001:db8::1"}  # behind the default route; nothing is sent there
WAITS = (0.25, 0.5, 1.0, 2.0)  # seconds for an answer; a lost packet is sent again (RFC 8489 §6.2.1)
MAX_ANSWER = 2048


class NoAnswer(Exception):
    """The public address was not found; the text says what to write."""


def with_public_addresses(turn: Turn) -> Turn:
    """The same, with addresses in the place of `external_ip: auto`. May take seconds. Raises NoAnswer."""
    if all(external.public for external in turn.external_ip):
        return turn
    written = [external for external in turn.external_ip if external.public]
    return turn.model_copy(update={"external_ip": (*written, *discovered(turn))})


def discovered(turn: Turn) -> Iterator[External]:
    for size in sorted({len(address.ip) for address in turn.listen}):
        local = local_address(turn, size)
        if local is None or ip_address(local).is_loopback or ip_address(local).is_global:
            continue
        public = ask_servers(turn.stun_servers, size)
        if public is None and size == 4:
            raise NoAnswer(
                "turn.external_ip: auto found a private address only, and no answer from turn.stun_servers: "
                "name one, or write the public address"
            )
        if public is not None and public != local:
            yield External(address_of(public), address_of(local))


def address_of(ip: bytes) -> IPAddress:
    return ip_address(ip)


def local_address(turn: Turn, size: int, towards: str = "") -> bytes | None:
    """The address that we relay from in one family: as configured, else the one of the default route."""
    configured = [ip.packed for ip in turn.relay_addresses] + [address.ip for address in turn.listen]
    fitting = [ip for ip in configured if len(ip) == size and any(ip)]
    return fitting[0] if fitting else source_towards(towards or FAR_AWAY[size])


def source_towards(host: str) -> bytes | None:
    """The address that packets to this host leave from; none is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, 9))
        except OSError:
            return None
        return socket.inet_pton(family, sock.getsockname()[0])


def ask_servers(servers: Iterable[HostPort], size: int) -> bytes | None:
    """Our address as the first server that answers sees it; None: no server answers."""
    return next(filter(None, (ask_server(server, size) for server in servers)), None)


def ask_server(server: HostPort, size: int) -> bytes | None:
    """Send a Binding request in one family until it is answered or the time is over."""
    family = FAMILIES[size]
    try:
        address = socket.getaddrinfo(server.host, server.port, family, socket.SOCK_DGRAM)[0][4]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            return request_binding(sock)
    except OSError:
        return None


def request_binding(sock: socket.socket) -> bytes | None:
    """Raises OSError if the network says that the server is not there."""
    transaction = secrets.token_bytes(12)
    request = build(BINDING_REQUEST, transaction, [])
    for seconds in WAITS:
        sock.send(request)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                mapped = mapped_address(sock.recv(MAX_ANSWER), transaction)
            except TimeoutError:
                break
            if mapped is not None:
                return mapped.ip
    return None


def mapped_address(data: bytes, transaction: bytes) -> Address | None:
    """The address in the answer to our request; None for any other packet."""
    try:
        message = parse(data)
        if message.type != BINDING_REQUEST | SUCCESS or message.transaction != transaction:
            return None
        return message.get(XOR_MAPPED_ADDRESS) or message.get(MAPPED_ADDRESS)
    except (WireError, BadRequest):
        return None
