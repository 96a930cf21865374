"""Which browsers may connect to the WebSocket, and how many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.types import Message as Event
from starlette.types import Scope

from server.signalling import close_codes
from server.store import Network

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
    is_logged_in: Callable[[Scope], bool] = allow_all

    def refusal_code(self, of_household: int, sockets: int) -> int | None:
        """The close code where there are too many sockets already; None: one more may be opened."""
        if self.max_per_address and of_household >= self.max_per_address:
            return close_codes.TOO_MANY
        if self.max_clients and sockets >= self.max_clients:
            return close_codes.TOO_SLOW
        return None
