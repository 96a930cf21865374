"""Signalling overtakes pictures, and there is an end to both."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.signalling.outbox import (
    MAX_BYTES,
    MAX_KEPT,
    MAX_KEPT_BYTES,
    MAX_MESSAGES,
    Outbox,
    VisitorText,
    size_of,
)


def drain(outbox: Outbox) -> list[str | bytes]:
    out = []
    while (data := outbox.pop()) is not None:
        out.append(data)
    return out


def test_words_overtake_chunks_and_each_kind_keeps_its_order() -> None:
    outbox = Outbox()
    for data in (b"1", "a", b"2", "b"):
        assert outbox.push(data, 7)
    outbox.greet("hello")
    assert len(outbox) == 5
    assert drain(outbox) == ["hello", "a", "b", b"1", b"2"]
    assert outbox.bytes == 0


def test_a_cancelled_picture_frees_its_room() -> None:
    outbox = Outbox()
    for number in (1, 2, 1):
        outbox.push(b"x" * 1000, number)
    outbox.push("word")
    outbox.drop_picture(1)
    assert outbox.bytes == 1004
    assert drain(outbox) == ["word", b"x" * 1000]


def test_so_many_messages() -> None:
    outbox = Outbox()
    assert [outbox.push("x") for _ in range(MAX_MESSAGES + 1)].count(True) == MAX_MESSAGES


def test_what_was_not_heard_is_sent_again_and_once() -> None:
    outbox = Outbox()
    outbox.resume(0)
    outbox.greet("hello")
    for word in ("a", "b", "c", "d"):
        outbox.push(word)
    assert drain(outbox) == ["hello", "a", "b", "c", "d"]
    outbox.confirm(1)
    outbox.push("e")
    outbox.resume(2)
    outbox.greet("hello again")
    assert drain(outbox) == ["hello again", "c", "d", "e"]
    outbox.resume(5)
    assert drain(outbox) == []
    assert (outbox.bytes, outbox.kept_bytes) == (0, 0)


def test_what_a_visitor_wrote_is_forgotten_when_it_was_sent() -> None:
    outbox = Outbox()
    outbox.resume(0)
    for word in ("a", VisitorText("canary"), "b"):
        outbox.push(word)
    assert drain(outbox) == ["a", "canary", "b"]
    assert "canary" not in outbox.kept
    outbox.resume(1)
    assert drain(outbox) == ["b"]
    outbox.resume(2)
    assert drain(outbox) == []
    outbox.push(VisitorText("not sent yet"))
    outbox.resume(2)
    assert drain(outbox) == ["not sent yet"]


def test_who_does_not_count_leaves_nothing_behind() -> None:
    outbox = Outbox()
    outbox.resume(None)
    outbox.push("a")
    assert drain(outbox) == ["a"]
    assert not outbox.kept
    outbox.resume(None)
    assert drain(outbox) == []


def test_what_is_kept_is_bounded_and_the_count_stays_right() -> None:
    outbox = Outbox()
    outbox.resume(0)
    for number in range(3 * MAX_KEPT):
        outbox.push(str(number))
        outbox.pop()
    assert len(outbox.kept) == MAX_KEPT
    outbox.resume(3 * MAX_KEPT - 1)
    assert drain(outbox) == [str(3 * MAX_KEPT - 1)]
    outbox.resume(3 * MAX_KEPT)
    for _ in range(10):
        outbox.push("x" * (MAX_KEPT_BYTES // 4))
        outbox.pop()
    assert outbox.kept_bytes <= MAX_KEPT_BYTES


def test_a_count_that_cannot_be_does_no_harm() -> None:
    outbox = Outbox()
    outbox.resume(0)
    outbox.push("a")
    drain(outbox)
    outbox.confirm(2**53)
    outbox.resume(2**53)
    outbox.push("b")
    assert drain(outbox) == ["b"]
    outbox.resume(0)
    assert drain(outbox) == ["b"]


@given(st.lists(st.binary(max_size=50_000) | st.text(max_size=9_000), max_size=60))
def test_never_more_bytes_than_allowed(items: list[bytes | str]) -> None:
    outbox = Outbox()
    taken = [item for item in items if outbox.push(item)]
    real = sum(len(item if isinstance(item, bytes) else item.encode("utf-8", "replace")) for item in taken)
    assert real <= outbox.bytes <= MAX_BYTES
    outbox.clear()
    assert (len(outbox), outbox.bytes) == (0, 0)


def test_weight_never_says_too_little() -> None:
    for word in ("abc", "äöü", "😀" * 10, ""):
        assert size_of(word) >= len(word.encode())
