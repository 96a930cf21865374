"""The proxies that are believed, and a word to the operator where one says nothing that can be."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader

log = logging.getLogger("calln.relay")

LOG_SECONDS = 60  # seconds between two lines for one reason: a proxy's mistake comes with each connection


class TrustedProxies:
    """`known` says by its address whether somebody is one."""

    def __init__(self, known: Callable[[bytes], bool]) -> None:
        self.is_trusted = known
        self.quiet_until: dict[str, float] = {}  # reason -> until when

    def includes(self, there: Address) -> bool:
        return self.is_trusted(there.ip)

    def log_refusal(self, bad: BadHeader) -> None:
        """Say why, seldom, and nothing of what was read."""
        reason, now = str(bad), monotonic()
        if now >= self.quiet_until.get(reason, now):
            self.quiet_until[reason] = now + LOG_SECONDS
            log.warning("what comes from an address in turn.proxies is refused: %s", reason)
