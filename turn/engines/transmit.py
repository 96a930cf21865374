"""Sending one datagram on one leg: the function type that every leg has, and how its errors are handled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

Transmit = Callable[[memoryview], object]  # sends one datagram on one leg; may raise OSError


def push(send: Transmit, data: memoryview) -> None:
    """Send. An error may be about an earlier packet (RFC 1122 §4.1.3): try once more, then drop the data."""
    try:
        send(data)
    except BlockingIOError:
        return
    except OSError:
        with suppress(OSError):
            send(data)


def discard(_data: memoryview) -> None:
    """The leg to a client that has gone, or of a lane that has none yet."""
