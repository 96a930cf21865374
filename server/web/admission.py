"""Which browsers may connect to the WebSocket, and what those of one address may do together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.types import Message as Event
from starlette.types import Scope

from host.settings import IPAddress
from server.signalling import close_codes
from server.signalling.rates import LARGE_MESSAGE, LARGE_RATE, REQUEST_RATE
from server.store import Network
from server.web.origins import ExemptNetworks, client_of
from turn.limits.addresses import AddressCounts, AddressRates
from turn.limits.buckets import Buckets
from turn.limits.ledger import LocalUsage

NEW_VISITORS_BURST = 2  # minutes' worth at once: after a restart, the pages of an office come back together
UNKNOWN = b""  # all whose proxy does not say where they are count as one address

FORBIDDEN: Sequence[Event] = (
    {
        "type": "websocket.http.response.start",
        "status": 403,
        "headers": [(b"content-type", b"text/plain; charset=utf-8")],
    },
    {"type": "websocket.http.response.body", "body": b"This page is not one of this server's.\n"},
)


def allow_all(scope: Scope) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """Which browsers may connect, and how many. A maximum of 0 means no limit."""

    origins: frozenset[str]
    proxies: Sequence[Network] = ()
    max_per_address: int = 0
    max_clients: int = 0
    new_per_minute: int = 0
    is_logged_in: Callable[[Scope], bool] = allow_all


class Admission:
    """Counts pages and visitors by address, in networks of both widths. `ip` is an address as `counted_ip`
    gives it; None has no limits."""

    def __init__(self, rules: AdmissionRules, exempt: ExemptNetworks) -> None:
        self.rules, self.exempt = rules, exempt
        self.pages = AddressCounts(LocalUsage())
        rate, key = rules.new_per_minute, secrets.token_bytes(16)
        self.new_visitors = AddressRates(Buckets(rate / 60, rate * NEW_VISITORS_BURST, key))
        self.large_messages = AddressRates(Buckets(*LARGE_RATE, key))
        self.requests = AddressRates(Buckets(*REQUEST_RATE, key))

    def counted_ip(self, address: IPAddress | None) -> bytes | None:
        """What a page is counted by. A proxy that does not name its clients stands for many people."""
        if address is None:
            return UNKNOWN
        return None if self.exempt.includes(address) else address.packed

    def may_request(self, scope: Scope, now: float) -> bool:
        """Whether one more HTTP request of this client is answered."""
        ip = self.ip_of(scope)
        return ip is None or self.requests.spend(ip, now)

    def ip_of(self, scope: Scope) -> bytes | None:
        """What a request is counted by."""
        return self.counted_ip(client_of(scope, self.rules.proxies))

    def refusal_code(self, ip: bytes | None, sockets: int) -> int | None:
        """The close code where there are too many sockets already; None: one more may be opened."""
        if ip is not None and self.pages.exceeds(ip, self.rules.max_per_address):
            return close_codes.TOO_MANY
        if self.rules.max_clients and sockets >= self.rules.max_clients:
            return close_codes.TOO_SLOW
        return None

    def count_page(self, ip: bytes | None, number: int = 1) -> None:
        """A page of this address was opened; with -1: closed."""
        if ip is not None:
            self.pages.add(ip, number)

    def may_be_new(self, ip: bytes | None, now: float) -> bool:
        """Whether one more new visitor may come. Each gets a credential for the relay."""
        return ip is None or self.new_visitors.spend(ip, now)

    def may_send(self, ip: bytes | None, characters: int, now: float) -> bool:
        """Whether a message of this size may be read. Small ones are limited for each visitor alone."""
        return characters <= LARGE_MESSAGE or ip is None or self.large_messages.spend(ip, now, characters)
