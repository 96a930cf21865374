"""When a relay is dead, and when it lives again: by what came of each question, and the time."""

from __future__ import annotations

import pytest

from server.relay_health import BACK_SECONDS, MISSES, RelayHealth

EVERY = 2.0


def watched(*hosts: str) -> RelayHealth:
    health = RelayHealth()
    health.follow(hosts)
    return health


def after(health: RelayHealth, host: str, answers: str, now: float = 0.0) -> list[bool]:
    """Whether it lives after each question; `.` is an answer, `x` none."""
    lives = []
    for number, answer in enumerate(answers):
        health.learn(host, answer == ".", now + number * EVERY)
        lives.append(health.lives(host))
    return lives


@pytest.mark.parametrize(
    ("answers", "lives"),
    [
        ("....", "yyyy"),
        (".x.x.x.", "yyyyyyy"),
        ("xx", "yn"),
        ("xxx.", "ynny"),
        ("xxx.xx..", "ynnyynnn"),
        ("..xx", "yyyn"),
        ("..xx..x.", "yyynnnnn"),
    ],
)
def test_misses_in_a_row_take_it_out(answers: str, lives: str) -> None:
    assert MISSES == 2
    assert after(watched("a"), "a", answers) == [one == "y" for one in lives]


def test_one_that_was_never_asked_lives() -> None:
    assert watched("a").lives("a")
    assert RelayHealth().lives("a")


def test_a_minute_of_answers_brings_it_back() -> None:
    health = watched("a")
    after(health, "a", ".xx")
    needed = int(BACK_SECONDS / EVERY)
    assert after(health, "a", "." * (needed + 1), 10.0) == [False] * needed + [True]


def test_a_miss_begins_the_minute_anew() -> None:
    health = watched("a")
    after(health, "a", ".xx")
    needed = int(BACK_SECONDS / EVERY)
    assert not any(after(health, "a", "." * needed + "x" + "." * needed, 10.0))
    assert health.learn("a", True, 10.0 + (2 * needed + 1) * EVERY)


def test_only_a_change_is_told() -> None:
    health = watched("a", "b")
    assert [health.learn("a", answered, 0.0) for answered in (True, False, False, False)] == [
        *(False, False, True, False)
    ]
    assert [health.learn("a", True, now) for now in (6.0, 66.0, 68.0)] == [False, True, False]
    assert health.lives("b")


def test_a_reload_keeps_what_is_known_and_forgets_who_is_gone() -> None:
    health = watched("a", "b")
    for host in ("a", "b"):
        after(health, host, "xx")
    health.follow(["a", "c"])
    assert [health.lives(host) for host in "abc"] == [False, True, True]
    assert not health.learn("b", False, 9.0)
    assert set(health.pulses) == {"a", "c"}
