"""What a server tells, as bytes: what is read is what was said, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from turn.errors import BadRequest
from turn.wire.notices import (
    HEAD,
    MAX_UFRAG,
    MAX_USER,
    MAX_VALUE,
    NOTICE,
    NetworkBanned,
    Notice,
    Notification,
    PairVouched,
    UserEnded,
    pack_notices,
    pack_notification,
    unpack_notices,
    unpack_notification,
)

SERVER = b"a server"
VOUCHED = PairVouched(120, ("one", "other"), (b"ours", b"theirs"))
ENDED = UserEnded(600, "one")
BANNED = NetworkBanned(600, b"key ", 4, 24, b"twelve bytes")

seconds = some.integers(0, (1 << 32) - 1)
users = some.text(some.characters(codec="utf-8"), min_size=1, max_size=MAX_USER // 4)
ufrags = some.binary(min_size=1, max_size=MAX_UFRAG)


notices = some.one_of(
    some.builds(PairVouched, seconds, some.tuples(users, users), some.tuples(ufrags, ufrags)),
    some.builds(UserEnded, seconds, users),
    some.builds(
        NetworkBanned,
        seconds,
        some.binary(min_size=4, max_size=4),
        some.just(16),
        some.integers(1, 128),
        some.binary(min_size=12, max_size=12),
    ),
)


@given(some.integers(0, (1 << 64) - 1), some.lists(notices, max_size=2))
def test_what_is_packed_is_read_again(number: int, said: list[Notice]) -> None:
    value = Notification(SERVER, number, tuple(said))
    assert unpack_notification(pack_notification(value)) == value


@given(some.binary(max_size=MAX_VALUE + 1))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for reader in (unpack_notification, unpack_notices):
        try:
            reader(data)
        except BadRequest:
            continue


def notice(kind: int, body: bytes) -> bytes:
    return NOTICE.pack(kind, len(body), 60) + body


REFUSED = {
    "half a head": b"\1\0",
    "another user is missing": notice(1, b"\3one"),
    "a ufrag is empty": notice(1, b"\3one\5other\4ours\0"),
    "a ufrag passes the end": notice(1, b"\3one\5other\4ours\7theirs"),
    "more than two ufrags": notice(1, b"\3one\5other\4ours\6theirs\1x"),
    "a long ufrag": notice(1, b"\3one\5other\4ours" + bytes((MAX_UFRAG + 1,)) + b"x" * (MAX_UFRAG + 1)),
    "a user that is no text": notice(1, b"\3on\xff\5other\4ours\6theirs"),
    "nobody has ended": notice(2, b""),
    "a long user": notice(2, b"x" * (MAX_USER + 1)),
    "an ended user that is no text": notice(2, b"\xff"),
    "no network": notice(3, b""),
    "everybody": notice(3, b"key \4\0twelve bytes"),
    "a prefix that is too long": notice(3, b"key \4\x21twelve bytes"),
    "an address of three bytes": notice(3, b"key \3\x08twelve bytes"),
    "a short tag": notice(3, b"key \4\x08few bytes"),
    "a body that passes the end": NOTICE.pack(2, 9, 60) + b"one",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_not_well_formed_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        unpack_notices(data)
    with pytest.raises(BadRequest):
        unpack_notices(pack_notices([ENDED]) + data)


def test_a_kind_of_later_versions_is_skipped() -> None:
    data = pack_notices([VOUCHED]) + notice(99, b"whatever") + pack_notices([BANNED])
    assert unpack_notices(data) == (VOUCHED, BANNED)


@pytest.mark.parametrize(
    "data", [b"", HEAD.pack(2, SERVER, 1), HEAD.pack(1, SERVER, 1)[:-1], bytes(MAX_VALUE + 1)]
)
def test_a_head_must_be_ours(data: bytes) -> None:
    with pytest.raises(BadRequest):
        unpack_notification(data)
