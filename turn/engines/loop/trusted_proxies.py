"""Which proxies are trusted, and a log line for the operator where one sends a bad header."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader

log = logging.getLogger("calln.relay")

LOG_SECONDS = 60  # between two log lines for one reason: a proxy repeats its mistake with each connection


class TrustedProxies:
    """`is_trusted` decides by an IP address."""

    def __init__(self, is_trusted: Callable[[bytes], bool]) -> None:
        self.is_trusted = is_trusted
        self.quiet_until: dict[str, float] = {}  # reason -> until when

    def includes(self, remote: Address) -> bool:
        return self.is_trusted(remote.ip)

    def log_refusal(self, bad: BadHeader) -> None:
        """Log the reason, but not too often, and nothing of what was received."""
        reason, now = str(bad), monotonic()
        if now >= self.quiet_until.get(reason, now):
            self.quiet_until[reason] = now + LOG_SECONDS
            log.warning("a packet or connection from an address in turn.proxies is refused: %s", reason)
