"""What is told to those who wait: rounded, only changes, not too often, and little work at a time."""

from __future__ import annotations

import json

import pytest

from server.signalling.effects import SendTo
from server.signalling.matching import Queue
from server.signalling.news import MOST_AT_ONCE, NEWS_SECONDS, News, coarse
from server.signalling.seekers import Seeker


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, 0), (1, 1), (5, 5), (7, 5), (8, 10), (23, 25), (99, 100), (101, 100), (126, 150), (1234, 1000)],
)
def test_few_are_counted_exactly_and_many_are_rounded(number: int, told: int) -> None:
    assert coarse(number) == told


def test_more_is_never_told_as_less() -> None:
    told = [coarse(number) for number in range(20_000)]
    assert told == sorted(told)
    assert len(set(told)) < 100


def crowd(number: int) -> tuple[Queue, News]:
    """Pages of different browsers that all wait for somebody else."""
    queue = Queue(300.0)
    news = News(queue, queue.seekers)
    for name in range(number):
        one = Seeker(f"v{name}", f"t{name}", "de", frozenset({"fr"}), queue.new_ticket())
        assert queue.match_or_wait(one, 0.0) is None
        news.add(one.visitor)
    return queue, news


def reason(effect: SendTo) -> str:
    return str(json.loads(effect.data)["why"])


def test_only_a_change_is_told_and_not_at_once() -> None:
    queue, news = crowd(1)
    assert [reason(one) for one in news.look(0.0)] == ["nobody"]
    assert news.look(NEWS_SECONDS) == []
    other = Seeker("other", "other", "it", frozenset(), queue.new_ticket())
    assert queue.match_or_wait(other, NEWS_SECONDS) is None
    assert news.look(NEWS_SECONDS) == []
    assert [reason(one) for one in news.look(2 * NEWS_SECONDS)] == ["wish"]


def test_who_waits_anew_is_told_at_once() -> None:
    _, news = crowd(1)
    news.look(0.0)
    news.add("v0")
    assert len(news.look(0.1)) == 1


def test_of_ten_thousand_a_few_are_told_at_a_time_and_everybody_in_the_end() -> None:
    _, news = crowd(10_000)
    told: list[str] = []
    for number in range(10_000 // MOST_AT_ONCE):
        effects = news.look(number / 1000)
        assert len(effects) == MOST_AT_ONCE
        told += [one.visitor for one in effects]
    assert len(set(told)) == 10_000
    queue_of_told = list(news.told)
    news.look(NEWS_SECONDS)
    assert list(news.told)[-MOST_AT_ONCE:] == queue_of_told[:MOST_AT_ONCE]


def test_who_has_left_is_forgotten() -> None:
    queue, news = crowd(3)
    news.look(0.0)
    news.add("v1")
    for name in range(3):
        queue.remove(f"v{name}", 1.0)
    assert news.look(NEWS_SECONDS) == []
    assert (news.new, news.told) == ({}, {})
