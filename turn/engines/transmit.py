"""Sending one datagram on one leg: the function type that every leg has, and how its errors are handled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

Transmit = Callable[[memoryview], object]  # sends one datagram on one leg; may raise OSError


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


def discard(_data: memoryview) -> None:
    """The leg to a client that has gone, or of a lane that has none yet."""
