"""Sending one datagram on one leg: the function type that every leg has, and how its errors are taken."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

Transmit = Callable[[memoryview], object]  # sends one datagram on one leg; may raise OSError


def push(send: Transmit, data: memoryview) -> None:
    """Send. An error may speak of an earlier packet (RFC 1122 §4.1.3): once more. Else dropped."""
    try:
        send(data)
    except BlockingIOError:
        return
    except OSError:
        with suppress(OSError):
            send(data)
