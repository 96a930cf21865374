"""What each message does, and when it may not be said."""

from __future__ import annotations

from typing import Any

import pytest

from server.signalling.calls import REPORTABLE_SECONDS
from tests.server.signalling.descriptions import HOST, RELAY, sdp
from tests.server.signalling.visits import Visits

WRONG = [
    ("waiting", "start", {}, "wrong_state"),
    ("calling", "start", {}, "wrong_state"),
    ("idle", "hello", {"token": "x" * 16}, "wrong_state"),
    *[
        (state, kind, {"call": "other", **fields}, "wrong_call")
        for state in ("idle", "waiting", "calling")
        for kind, fields in (
            ("offer", {"sdp": sdp()}),
            ("answer", {"sdp": sdp()}),
            ("candidate", {"candidate": None}),
            ("text", {"text": "x"}),
            ("picture", {"picture": 1, "size": 5, "mime": "image/png"}),
            ("picture-ack", {"picture": 1, "bytes": 5}),
            ("picture-cancel", {"picture": 1}),
            ("block", {}),
            ("report", {"reason": "spam"}),
            ("connected", {"path": "relay"}),
        )
    ],
]


@pytest.mark.parametrize(("state", "kind", "fields", "code"), WRONG)
def test_what_may_not_be_said(state: str, kind: str, fields: dict[str, Any], code: str) -> None:
    visits = Visits()
    if state == "calling":
        a, _, _ = visits.couple()
    else:
        a = visits.enter("a")
        if state == "waiting":
            visits.say(a, "start")
    heard = {name: list(words) for name, words in visits.said.items()}
    assert visits.refused(a, kind, **fields) == code
    assert visits.said == heard
    assert a.state == state


def test_a_third_reaches_no_room() -> None:
    visits = Visits()
    _, _, call = visits.couple()
    c = visits.enter("c")
    assert visits.refused(c, "text", call=call, text="let me in") == "wrong_call"


def test_next_with_another_wish_keeps_the_place() -> None:
    visits = Visits()
    a, b = visits.enter("a", "de"), visits.enter("b", "de")
    for visitor in (a, b):
        visits.say(visitor, "start", want=["it"])
    visits.say(a, "next", want=["fr"])
    c = visits.enter("c", "fr")
    visits.say(b, "next", want=[])
    assert b.room is a.room is None
    visits.say(c, "start")
    assert c.room is a.room is not None


def test_next_without_a_wish_keeps_the_last_one() -> None:
    visits = Visits()
    a, _, _ = visits.couple(want=["fr"], hide_address=True)
    visits.say(a, "next")
    assert (a.wanted_countries, a.hides_address) == (frozenset({"fr"}), True)
    visits.say(a, "stop")
    visits.say(a, "start")
    assert (a.wanted_countries, a.hides_address) == (frozenset(), False)


def test_without_countries_a_wish_means_nothing() -> None:
    visits = Visits(countries=False)
    visits.couple(want=["it"])


def test_hiding_makes_a_relayed_room_for_both() -> None:
    visits = Visits()
    a, b, call = visits.couple(hide_address=True)
    assert [visits.last(name, "matched")["relay"] for name in "ab"] == [True, True]
    visits.say(b, "offer", call=call, sdp=sdp(f"a={HOST}"))
    visits.say(b, "candidate", call=call, candidate={"candidate": HOST})
    visits.say(b, "candidate", call=call, candidate={"candidate": RELAY})
    assert visits.heard("a", 2) == ["offer", "candidate"]
    assert "192.168" not in str(visits.said["a"])
    assert "203.0.113" not in str(visits.said["a"])
    visits.say(a, "stop")
    visits.say(a, "ice")
    assert visits.last("a", "ice")["ice"] == {"user": a.user}


def test_a_report_keeps_the_partners_address_under_a_code() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.say(a, "report", call=call, reason="abuse", id="r")
    code = visits.last("a", "reported")["code"]
    report = visits.lobby.reports.lookup(code, visits.now)
    assert report is not None
    assert (report.address, report.reason) == (b.address, "abuse")
    assert a.state == "calling"
    assert ("report", "abuse") in visits.counts


def test_a_report_after_the_call() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.settle(visits.lobby.leave(b, "left", visits.now))
    visits.now += REPORTABLE_SECONDS
    visits.say(a, "report", call=call, reason="minor")
    report = visits.lobby.reports.lookup(visits.last("a", "reported")["code"], visits.now)
    assert report is not None
    assert report.address == b.address
    visits.now += 1
    assert visits.refused(a, "report", call=call, reason="minor") == "wrong_call"


def test_a_partner_who_vanished_can_be_reported_from_the_next_call() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    address = b.address
    visits.settle(visits.lobby.leave(b, "vanished", visits.now))
    c = visits.enter("c")
    visits.say(c, "start")
    assert a.room is not None
    assert a.room.call != call
    visits.say(a, "report", call=call, reason="minor")
    report = visits.lobby.reports.lookup(visits.last("a", "reported")["code"], visits.now)
    assert report is not None
    assert report.address == address


def test_connected_counts_once_for_each() -> None:
    visits = Visits()
    a, b, call = visits.couple()
    visits.say(a, "offer", call=call, sdp=sdp())
    for _ in range(3):
        visits.say(a, "connected", call=call, path="direct")
        visits.say(b, "connected", call=call, path="relay")
    assert [label for name, label in visits.counts if name == "connected"] == ["direct", "relay"]
