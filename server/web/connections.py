"""How many connections the web server has: of one address, and in all, whatever they are used for."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from time import monotonic

from host.settings import IPAddress
from server.web.origins import parse_address
from turn.limits.addresses import AddressCounts, handshake_rates
from turn.limits.ledger import LocalUsage

RESERVED_FILES = 64  # for listeners, the state, the operator's socket, and what is opened for a moment
FILES_EACH = 2  # a TURN client has a second connection, to the relay
SHARES = 16  # one address has at most this part of all: ten of them and a /48 leave a quarter to others


def nobody(_: IPAddress) -> bool:
    return False


def no_count(_: str) -> None:
    """Nobody wants to know."""


class ConnectionSlot:
    """One connection's place in the counts."""

    __slots__ = ("connections", "ip")

    def __init__(self, connections: WebConnections, ip: bytes | None) -> None:
        self.connections: WebConnections | None = connections
        self.ip = ip

    def release(self) -> None:
        """The connection has ended. Called again: nothing happens."""
        connections, self.connections = self.connections, None
        if connections is not None:
            connections.give_back(self.ip)


class WebConnections:
    """Counts connections, and refuses those beyond the limits.

    Args:
        per_address: how many one address may have; 0 for no limit (turn.limits.addresses).
        files: how many files and sockets this process may have open; None for no limit.
        is_exempt: whether an address has no limits of its own, as a proxy or a trusted network.
        count: called for each that is refused, with the reason.
    """

    def __init__(
        self,
        per_address: int = 0,
        files: int | None = None,
        is_exempt: Callable[[IPAddress], bool] = nobody,
        count: Callable[[str], object] = no_count,
    ) -> None:
        self.most = None if files is None else max(1, (files - RESERVED_FILES) // FILES_EACH)
        self.per_address = per_address
        if per_address and self.most is not None:
            self.per_address = max(1, min(per_address, self.most // SHARES))
        self.is_exempt, self.count = is_exempt, count
        self.total = 0
        self.of_address = AddressCounts(LocalUsage())
        self.handshakes = handshake_rates(secrets.token_bytes(16))

    def admit(self, sock: socket.socket, source: tuple[str, int]) -> Callable[[], None] | None:
        """See host.http.Admit. A Unix socket is the operator's: it has no limits."""
        if sock.family == socket.AF_UNIX:
            self.total += 1
            return ConnectionSlot(self, None).release
        slot = self.acquire(parse_address(source[0]))
        return slot.release if slot else None

    def acquire(self, address: IPAddress | None) -> ConnectionSlot | None:
        """A place for a new connection; None: there are too many. The address None is of nobody known."""
        ip = None if address is None or self.is_exempt(address) else address.packed
        refusal = self.refusal_reason(ip)
        if refusal:
            self.count(refusal)
            return None
        self.total += 1
        if ip is not None:
            self.of_address.add(ip)
        return ConnectionSlot(self, ip)

    def refusal_reason(self, ip: bytes | None) -> str:
        if self.most is not None and self.total >= self.most:
            return "too many in all"
        too_many = ip is not None and self.of_address.exceeds(ip, self.per_address)
        return "too many of an address" if too_many else ""

    def may_handshake(self, address: IPAddress) -> bool:
        """Whether a TLS handshake may begin with this address."""
        if self.is_exempt(address) or self.handshakes.spend(address.packed, monotonic()):
            return True
        self.count("too many handshakes")
        return False

    def give_back(self, ip: bytes | None) -> None:
        self.total -= 1
        if ip is not None:
            self.of_address.add(ip, -1)
