"""Signalling overtakes pictures, and there is an end to both."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.signalling.outbox import MAX_BYTES, MAX_MESSAGES, Outbox, size_of


def drain(outbox: Outbox) -> list[str | bytes]:
    out = []
    while (data := outbox.pop()) is not None:
        out.append(data)
    return out


def test_words_overtake_chunks_and_each_kind_keeps_its_order() -> None:
    outbox = Outbox()
    for data in (b"1", "a", b"2", "b"):
        assert outbox.push(data, 7)
    outbox.push_front("hello")
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
