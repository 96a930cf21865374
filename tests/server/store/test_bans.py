"""Which addresses a ban covers, for how long, and that another process's ban is noticed."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from server.store import Ban, Store, StoreError
from server.store.bans import Bans, household, network_of
from server.store.sqlite import open_store

NAMED = {
    "192.0.2.7": "192.0.2.7/32",
    "192.0.2.0/24": "192.0.2.0/24",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
    "[2001:db8::1]": "2001:db8::/64",
    "2001:db8::1/128": "2001:db8::1/128",
    "2001:db8::/32": "2001:db8::/32",
    "::ffff:192.0.2.7": "192.0.2.7/32",
}
NOT_NAMED = ["", "hello", "192.0.2.0/33", "192.0.2.1/24", "0.0.0.0/0", "::/0", "192.0.2.*", "1.2.3"]

COVERED = [
    ("192.0.2.7", "192.0.2.7", True),
    ("192.0.2.7", "192.0.2.8", False),
    ("192.0.2.7", "::ffff:192.0.2.7", True),
    ("192.0.2.0/24", "192.0.2.255", True),
    ("192.0.2.0/24", "192.0.3.0", False),
    ("2001:db8:1:2::5", "2001:db8:1:2:ffff::", True),
    ("2001:db8:1:2::5", "2001:db8:1:3::5", False),
    ("2001:db8::/32", "2001:db8:ffff::", True),
    ("0.0.0.0/1", "::1", False),
]


@pytest.mark.parametrize("text", NAMED)
def test_what_is_named(text: str) -> None:
    assert str(network_of(text)) == NAMED[text]


@pytest.mark.parametrize("text", NOT_NAMED)
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"write one such as 192\.0\.2\.7|would ban everybody"):
        network_of(text)


def test_a_household() -> None:
    assert household(ip_address("2001:db8::5")) == ip_network("2001:db8::/64")
    assert household(ip_address("fe80::5%eth0")) == ip_network("fe80::/64")


@pytest.mark.parametrize(("banned", "address", "covered"), COVERED)
def test_covers(store: Store, banned: str, address: str, covered: bool) -> None:
    bans = Bans(store)
    bans.add(network_of(banned), 1000.0, None, "")
    assert bans.covers(ip_address(address), 1000.0) is covered
    assert len(bans) == 1


def test_a_ban_ends_by_itself(store: Store) -> None:
    bans = Bans(store)
    ban = bans.add(network_of("192.0.2.7"), 1000.0, 60, "  a\nnote " + "x" * 500)
    assert (ban.until, ban.reason[:8], len(ban.reason)) == (1060, "a note x", 200)
    assert [bans.covers(ip_address("192.0.2.7"), wall) for wall in (1059.9, 1060.0)] == [True, False]
    assert [len(bans.list(wall)) for wall in (1059.9, 1060.0)] == [1, 0]


def test_another_process_is_noticed(tmp_path: Path, store: Store) -> None:
    theirs, mine = Bans(open_store(tmp_path)), Bans(store)
    assert not mine.refresh()
    theirs.add(network_of("192.0.2.7"), 1000.0, None, "")
    assert mine.refresh()
    assert mine.covers(ip_address("192.0.2.7"), 1000.0)
    assert theirs.remove(network_of("192.0.2.7"))
    assert mine.refresh()
    assert not mine.covers(ip_address("192.0.2.7"), 1000.0)
    theirs.store.close()


def test_a_list_that_cannot_be_read_leaves_the_old_one_in_force(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bans = Bans(store)
    bans.add(network_of("192.0.2.7"), 0.0, None, "")
    elsewhere = open_store(tmp_path)
    Bans(elsewhere).add(network_of("192.0.2.8"), 0.0, None, "")
    elsewhere.close()

    def fail() -> list[Ban]:
        raise StoreError("the disk")

    with monkeypatch.context() as broken:
        broken.setattr(store, "bans", fail)
        with pytest.raises(StoreError):
            bans.refresh()
    assert bans.covers(ip_address("192.0.2.7"), 1.0)
    assert bans.refresh()
    assert bans.covers(ip_address("192.0.2.8"), 1.0)
