"""A call is as long as what both ends heard, and nothing if a packet was lost."""

from __future__ import annotations

import pytest

from tests.interop.clients.voice import Counted, report


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (Counted(659, 600, 0, "relay"), Counted(640, 655, 0, "relay"), "heard 10 through relay"),
        (Counted(659, 400, 0, "relay"), Counted(440, 655, 0, "relay"), "heard 8 through relay"),
        (Counted(659, 400, 0, "relay"), Counted(660, 655, 0, "relay"), "heard 0 through relay"),
        (Counted(659, 658, 1, "relay"), Counted(658, 658, 0, "relay"), "heard 0 through relay"),
        (
            Counted(659, 658, 0, "relay"),
            Counted(658, 658, 0, "10.77.1.2"),
            "heard 10 through 10.77.1.2 relay",
        ),
    ],
)
def test_a_call_is_as_long_as_what_both_heard(one: Counted, other: Counted, wanted: str) -> None:
    assert report(one, other, 10) == wanted
