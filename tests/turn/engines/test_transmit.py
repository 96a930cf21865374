"""A socket's error may speak of an earlier packet: this one is sent once more, and never a third time."""

from __future__ import annotations

import pytest

from turn.engines.transmit import push

REFUSALS = [  # errors that a leg raises in turn -> how often it is asked
    ([], 1),
    ([ConnectionRefusedError()], 2),
    ([ConnectionRefusedError(), ConnectionRefusedError()], 2),
    ([BlockingIOError()], 1),
    ([OSError(90, "Message too long")], 2),
    ([OSError(113, "No route to host")], 2),
]


@pytest.mark.parametrize(("errors", "asked"), REFUSALS)
def test_a_refusal_speaks_of_an_earlier_packet(errors: list[OSError], asked: int) -> None:
    calls: list[bytes] = []
    waiting = list(errors)

    def leg(data: memoryview) -> None:
        calls.append(bytes(data))
        if waiting:
            raise waiting.pop(0)

    push(leg, memoryview(b"x"))
    assert calls == [b"x"] * asked
