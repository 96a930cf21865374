"""What relays are to be told: what is new at each step, for how long it holds, and that it is bounded."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from server.announcements import (
    BANNED_AGAIN,
    BANNED_SECONDS,
    LOST_SECONDS,
    MAX_ENDED,
    MAX_LOST,
    VOUCHED_AGAIN,
    VOUCHED_SECONDS,
    Announcements,
    Ended,
    Vouched,
)
from server.signalling.effects import CallLost, CallVouched, NamesEnded
from turn.core.told import MAX_SECONDS
from turn.limits.bans import MAX_BANS, BanKey
from turn.wire.notices import NetworkBanned, PairVouched, UserEnded

USERS = ("one", "other")
FIRST, SECOND = ("aaaa", "bbbb"), ("cccc", "dddd")
KEY = BanKey(b"a key")
HOME, OFFICE = ip_network("192.0.2.7"), ip_network("2001:db8::/48")
VALID = 600  # seconds of a credential


def told(*ufrags: tuple[str, str], users: tuple[str, str] = USERS) -> CallVouched:
    return CallVouched(users, ufrags)


def test_a_pair_is_told_once_and_a_restart_takes_its_place() -> None:
    known = Announcements()
    assert known.take(told(FIRST), 0.0, VALID) == [Vouched(USERS, FIRST)]
    assert known.take(told(FIRST), 1.0, VALID) == []
    assert known.take(told(FIRST, SECOND), 2.0, VALID) == [Vouched(USERS, SECOND)]
    assert known.take(told(SECOND, users=USERS[::-1]), 3.0, VALID) == [Vouched(USERS[::-1], SECOND)]
    assert list(known.vouched()) == [Vouched(USERS[::-1], SECOND)]
    assert known.notice(Vouched(USERS, FIRST), KEY, 3.0, 0.0) is None
    assert known.notice(Vouched(USERS[::-1], SECOND), KEY, 3.0, 0.0) == PairVouched(
        VOUCHED_SECONDS, USERS[::-1], (b"cccc", b"dddd")
    )


@pytest.mark.parametrize("users", [USERS, USERS[::-1]])
def test_the_end_of_a_call_ends_its_users_and_vouches_for_nothing(users: tuple[str, str]) -> None:
    known = Announcements()
    known.take(told(FIRST), 0.0, VALID)
    assert known.take(NamesEnded(users), 10.0, VALID) == [Ended(user) for user in users]
    assert list(known.vouched()) == []
    assert known.notice(Ended("one"), KEY, 20.0, 0.0) == UserEnded(VALID - 10, "one")
    assert known.notice(Ended("one"), KEY, 10.0 + VALID, 0.0) is None
    assert known.notice(Ended("third"), KEY, 20.0, 0.0) is None


@pytest.mark.parametrize("users", [USERS, USERS[::-1]])
def test_a_lost_call_is_vouched_for_a_while_and_nobody_has_ended(users: tuple[str, str]) -> None:
    known = Announcements()
    known.take(told(FIRST), 0.0, VALID)
    assert known.take(CallLost(users), 10.0, VALID) == []
    pair = Vouched(USERS, FIRST)
    assert list(known.everything()) == [pair]
    assert known.notice(pair, KEY, 9.0 + LOST_SECONDS, 0.0) is not None
    assert known.notice(pair, KEY, 10.0 + LOST_SECONDS, 0.0) is None
    known.take(NamesEnded(("third", "fourth")), 10.0 + LOST_SECONDS, VALID)
    assert list(known.vouched()) == []


def test_lost_calls_are_bounded() -> None:
    known = Announcements()
    for number in range(2 * MAX_LOST):
        users = f"{number} a", f"{number} b"
        known.take(told(FIRST, users=users), float(number), VALID)
        known.take(CallLost(users), float(number), VALID)
    assert len(list(known.everything())) == MAX_LOST
    known.take(CallLost(("never", "vouched")), 0.0, VALID)
    assert len(list(known.everything())) == MAX_LOST - 1


def test_ended_users_are_bounded() -> None:
    known = Announcements()
    for number in range(MAX_ENDED):
        known.take(NamesEnded((f"{number} a", f"{number} b")), float(number), VALID * MAX_ENDED)
    assert len(list(known.everything())) == MAX_ENDED
    assert known.notice(Ended("0 a"), KEY, 0.0, 0.0) is None
    known.take(NamesEnded(USERS), 2.0 * VALID * MAX_ENDED, VALID)
    assert list(known.everything()) == [Ended(user) for user in USERS]


def test_bans_are_told_when_they_change() -> None:
    known = Announcements()
    assert known.set_bans({HOME: None, OFFICE: 2000}) == [HOME, OFFICE]
    assert known.set_bans({HOME: None, OFFICE: 2000}) == []
    assert known.set_bans({HOME: 1500}) == [HOME, OFFICE]
    assert list(known.bans()) == [HOME]


@pytest.mark.parametrize(
    ("until", "seconds"),
    [(None, BANNED_SECONDS), (1000 + 7, 8), (1000 + 9 * BANNED_SECONDS, BANNED_SECONDS), (999, 0), (0, 0)],
)
def test_a_ban_holds_for_a_while_at_most(until: int | None, seconds: int) -> None:
    known = Announcements()
    known.set_bans({OFFICE: until})
    network = KEY.network(OFFICE.network_address.packed, 48)
    assert known.notice(OFFICE, KEY, 0.0, 1000.0) == NetworkBanned(seconds, *network)


def test_a_lifted_ban_is_told_as_one_of_no_seconds() -> None:
    known = Announcements()
    known.set_bans({HOME: None})
    known.set_bans({})
    notice = known.notice(HOME, KEY, 0.0, 1000.0)
    assert isinstance(notice, NetworkBanned)
    assert notice.seconds == 0


def test_the_newest_bans_are_told_if_there_are_too_many() -> None:
    known = Announcements()
    networks = {ip_network((number << 8, 32)): None for number in range(1, MAX_BANS + 3)}
    assert len(known.set_bans(networks)) == MAX_BANS
    assert list(known.bans()) == list(networks)[2:]
    assert known.bans_left_out == 2
    known.set_bans({HOME: None})
    assert known.bans_left_out == 0


def test_everything_is_told_in_the_order_of_urgency() -> None:
    known = Announcements()
    known.take(told(FIRST), 0.0, VALID)
    known.take(NamesEnded(("third", "fourth")), 0.0, VALID)
    known.set_bans({HOME: None})
    assert list(known.everything()) == [HOME, Vouched(USERS, FIRST), Ended("third"), Ended("fourth")]


def test_all_is_said_again_before_it_runs_out_and_holds_no_longer_than_a_relay_believes() -> None:
    assert 2 * VOUCHED_AGAIN < VOUCHED_SECONDS <= MAX_SECONDS[PairVouched]
    assert 2 * BANNED_AGAIN < BANNED_SECONDS <= MAX_SECONDS[NetworkBanned]
