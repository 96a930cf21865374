"""Sending one datagram on one leg: what every leg has for that, and how its errors are handled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

Transmit = Callable[[memoryview], object]  # sends one datagram on one leg; may raise OSError


class Outlet:
    """What sends on one leg. `put` takes a datagram; it changes with what waits, so look it up each time."""

    __slots__ = ("put",)

    def __init__(self, put: Transmit) -> None:
        self.put = put


def push(send: Transmit, data: memoryview) -> None:
    """Send. An error may be about an earlier packet (RFC 1122 §4.1.3): try once more, then drop the data."""
    try:
        send(data)
    except OSError as error:
        push_again(send, data, error)


def push_again(send: Transmit, data: memoryview, error: OSError) -> None:
    """Send once more, unless there was no room for it."""
    if not isinstance(error, BlockingIOError):
        with suppress(OSError):
            send(data)


DISCARD = Outlet(lambda data: None)  # the leg to a client that has gone, or of a lane that has none yet
