"""Names of networks: equal for a day where the network is, and nothing can be read out of them."""

from __future__ import annotations

import re
from ipaddress import ip_address

from server.signalling.pseudonyms import DAY, HOUSEHOLD_LETTERS, LETTERS, SITE_LETTERS, Pseudonyms, site_of

ONE, OTHER = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def pseudonyms() -> Pseudonyms:
    keys = iter(bytes([number] * 16) for number in range(100))
    return Pseudonyms(lambda: next(keys))


def test_one_address_has_one_name_for_a_day() -> None:
    names = pseudonyms()
    name = names.name(ONE, 100.0)
    assert re.fullmatch(f"[{LETTERS}]{{{SITE_LETTERS}}}", name)
    assert names.name(ONE, 100.0 + DAY - 1) == name
    assert names.name(OTHER, 100.0) != name
    tomorrow = names.name(ONE, 100.0 + DAY)
    assert tomorrow != name
    assert names.name(ONE, 100.0 + 2 * DAY - 1) == tomorrow


def test_a_name_tells_the_48_and_the_64_in_it() -> None:
    names = pseudonyms()
    one, same, beside, elsewhere = (
        names.name(ip_address(text), 0.0)
        for text in ("2001:db8:bad:1::1", "2001:db8:bad:1::2", "2001:db8:bad:2::1", "2001:db8:900d:1::1")
    )
    assert re.fullmatch(f"[{LETTERS}]{{{SITE_LETTERS}}}-[{LETTERS}]{{{HOUSEHOLD_LETTERS}}}", one)
    assert one == same != beside
    assert site_of(one) == site_of(beside) != site_of(elsewhere)
    assert site_of(names.name(ONE, 0.0)) == names.name(ONE, 0.0)


def test_where_somebody_is_may_be_unknown() -> None:
    assert pseudonyms().name(None, 0.0) == "unknown"


def test_a_thousand_addresses_have_a_thousand_names() -> None:
    names = pseudonyms()
    assert len({names.name(ip_address(number), 0.0) for number in range(1 << 24, (1 << 24) + 1000)}) == 1000
