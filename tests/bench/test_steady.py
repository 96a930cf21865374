"""What a soak counts as come, lost and strange, and how long it says that it took."""

from __future__ import annotations

import time

import pytest

from tests.bench.steady import MARK, SIZE, Timed

LATER = 5_000_000  # nanoseconds


@pytest.fixture
def timed() -> Timed:
    return Timed()


@pytest.mark.parametrize("direct", [False, True])
def test_a_packet_that_comes_is_timed(timed: Timed, direct: bool) -> None:
    data = timed.next(direct=direct)
    timed.arrived(data, MARK.unpack_from(data)[1] + LATER)
    took = timed.report()["direct" if direct else "relayed"]
    assert took == {LATER // 1000: 1}
    assert not timed.under_way
    assert len(data) == SIZE


def test_what_went_past_the_relay_is_no_packet_of_it(timed: Timed) -> None:
    timed.arrived(timed.next(direct=True), time.time_ns())
    told = timed.report()
    assert (told.get("sent", 0), told.get("came", 0), told["relayed"]) == (0, 0, {})


def test_what_does_not_come_stays_under_way(timed: Timed) -> None:
    first, _ = timed.next(direct=False), timed.next(direct=False)
    timed.arrived(first, time.time_ns())
    told = timed.report()
    assert (told["sent"], told["came"], len(timed.under_way)) == (2, 1, 1)


STRANGE = {
    "twice": lambda data: data,
    "another length": lambda data: data + b"x",
    "changed": lambda data: data[:-1] + b"x",
    "never sent": lambda data: MARK.pack(999, 0) + data[MARK.size :],
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_was_not_sent_so_is_strange(timed: Timed, name: str) -> None:
    data, other = timed.next(direct=False), timed.next(direct=False)
    timed.arrived(data, time.time_ns())
    timed.arrived(STRANGE[name](data if name == "twice" else other), time.time_ns())
    assert timed.counts == {"sent": 2, "came": 1, "strange": 1}


def test_a_report_begins_anew(timed: Timed) -> None:
    timed.arrived(timed.next(direct=False), time.time_ns())
    timed.report()
    assert timed.report() == {"relayed": {}, "direct": {}}


def test_a_clock_set_back_makes_no_negative_time(timed: Timed) -> None:
    data = timed.next(direct=False)
    timed.arrived(data, MARK.unpack_from(data)[1] - LATER)
    assert timed.report()["relayed"] == {0: 1}
