"""How a process is told to end: by signals, once for soon, twice for now."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Shutdown:
    """The request to end: after the first one calls go on, after the second they do not."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.repeated = asyncio.Event()

    def request(self) -> None:
        (self.repeated if self.requested.is_set() else self.requested).set()

    @contextmanager
    def on_signals(
        self, reload: Callable[[], object], pass_on: Callable[[], object] | None = None
    ) -> Iterator[None]:
        """SIGTERM and SIGINT request the end within, SIGHUP calls `reload` and SIGUSR1 `pass_on`, if there is
        one; blocked ones are unblocked."""
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], object]] = {
            signal.SIGTERM: self.request,
            signal.SIGINT: self.request,
            signal.SIGHUP: reload,
            **({signal.SIGUSR1: pass_on} if pass_on else {}),
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)
