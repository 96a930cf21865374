"""TLS handshakes cost as much as a hundred packets each: only a few are done in each turn of the loop."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from turn.engines.loop.epoll import Epoll

PER_TURN = (
    4  # handshakes of 0.4 ms each (4 ms with an RSA key of 4096 bits): packets wait no longer than that
)

Work = Callable[[], object]


class HandshakeQueue:
    """First come, first served. Between two turns, all else that is ready in the loop is served once."""

    def __init__(self, epoll: Epoll) -> None:
        self.epoll = epoll
        self.waiting: OrderedDict[Work, None] = OrderedDict()
        self.is_scheduled = False

    def add(self, work: Work) -> bool:
        """Wait for a turn. False: it waits already, and keeps its place."""
        if work in self.waiting:
            return False
        self.waiting[work] = None
        self.schedule()
        return True

    def remove(self, work: Work) -> None:
        """Where it does not wait: nothing happens."""
        self.waiting.pop(work, None)

    def schedule(self) -> None:
        if self.waiting and not self.is_scheduled:
            self.is_scheduled = True
            self.epoll.call_soon(self.run_some)

    def run_some(self) -> None:
        self.is_scheduled = False
        for _ in range(min(PER_TURN, len(self.waiting))):
            if self.waiting:  # one may have removed another
                self.epoll.attempt(self.waiting.popitem(last=False)[0])
        self.schedule()
