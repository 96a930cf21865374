"""A report lives half an hour under a code that nobody guesses, and never are there too many."""

from __future__ import annotations

import re
import secrets
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from server.signalling.pseudonyms import LETTERS, IPAddress, site_of
from server.signalling.reports import KEPT_SECONDS, MAX_PER_NETWORK, MAX_REPORTS, Reports

ADDRESS = ip_address("192.0.2.1")


def reports() -> Reports:
    return Reports(lambda: secrets.choice(LETTERS), lambda: secrets.token_bytes(16))


def test_a_code_finds_its_report_until_its_time_is_over() -> None:
    kept = reports()
    report = kept.add("call", "me", "spam", ADDRESS, 1000.0)
    assert re.fullmatch("[2-9A-Z]{4}-[2-9A-Z]{4}", report.code)
    assert kept.lookup(f" {report.code.lower()} ", 1000.0 + KEPT_SECONDS - 1) is report
    assert kept.lookup(report.code, 1000.0 + KEPT_SECONDS) is None
    assert not kept.by_call


def test_who_reports_twice_has_one_report() -> None:
    kept = reports()
    first = kept.add("call", "me", "spam", ADDRESS, 0.0)
    second = kept.add("call", "me", "minor", ADDRESS, 1.0)
    assert second.code == first.code
    assert [report.reason for report in kept.all(2.0)] == ["minor"]
    assert kept.add("call", "partner", "spam", ADDRESS, 2.0).code != first.code


def test_a_code_is_not_given_twice() -> None:
    letters = iter("AAAAAAAA" + "AAAAAAAA" + "BBBBBBBB")
    kept = Reports(lambda: next(letters), lambda: bytes(16))
    codes = [kept.add(call, "me", "spam", ADDRESS, 0.0).code for call in "12"]
    assert codes == ["AAAA-AAAA", "BBBB-BBBB"]


def test_a_flood_keeps_the_newest() -> None:
    kept = reports()
    codes = [kept.add(str(call), "me", "spam", ADDRESS, call).code for call in range(MAX_REPORTS + 10)]
    assert [report.code for report in kept.all(MAX_REPORTS)] == codes[10:]
    assert len(kept.by_call) == MAX_REPORTS


def of_site(number: int) -> IPAddress:
    """An address in the /64 of this number of one /48."""
    return ip_address(f"2001:db8:bad:{number:x}::1")


HONEST = ip_address("198.51.100.1")
TEN = [ip_address(f"203.0.113.{number}") for number in range(10)]


def test_one_household_pushes_out_its_own_reports_only() -> None:
    kept = reports()
    genuine = kept.add("call", "me", "minor", ADDRESS, 0.0, HONEST)
    flood = [
        kept.add(str(call), "him", "spam", ADDRESS, 1.0, ip_address(f"2001:db8::{call + 1:x}"))
        for call in range(MAX_REPORTS + 10)
    ]
    assert kept.lookup(genuine.code, 2.0) is genuine
    assert list(kept.all(2.0)) == [genuine, *flood[-MAX_PER_NETWORK:]]
    assert len(kept.by_call) == MAX_PER_NETWORK + 1


def test_a_48_keeps_twice_what_a_household_keeps() -> None:
    kept = reports()
    genuine = kept.add("call", "me", "minor", ADDRESS, 0.0, HONEST)
    flood = [kept.add(str(call), "him", "spam", ADDRESS, 1.0, of_site(call)) for call in range(1500)]
    assert list(kept.all(2.0)) == [genuine, *flood[-2 * MAX_PER_NETWORK :]]


hostile = st.one_of(st.builds(of_site, st.integers(0, 5)), st.builds(of_site, st.integers(0, 0xFFFF)))


@given(st.lists(st.tuples(st.one_of(hostile, st.sampled_from(TEN)), st.integers(1, 50)), max_size=60))
def test_no_flood_from_a_48_and_ten_addresses_pushes_out_a_true_report(
    flood: list[tuple[IPAddress, int]],
) -> None:
    kept = reports()
    genuine = kept.add("call", "me", "minor", ADDRESS, 0.0, HONEST)
    for number, (address, times) in enumerate(flood):
        for call in range(times):
            kept.add(f"{number} {call}", "him", "spam", ADDRESS, 1.0, address)
    assert kept.lookup(genuine.code, 2.0) is genuine
    assert len(kept.by_code) <= 1 + (10 + 2) * MAX_PER_NETWORK
    assert len(kept.by_call) == len(kept.by_code)
    kept.expire(1.0 + KEPT_SECONDS)
    assert (kept.by_code, kept.by_call, kept.filed) == ({}, {}, {})


def test_with_ever_more_networks_those_that_filed_most_lose_first() -> None:
    kept = reports()
    genuine = kept.add("call", "me", "minor", ADDRESS, 0.0, HONEST)
    for network in range(200):
        for call in range(MAX_PER_NETWORK):
            kept.add(f"{network} {call}", "him", "spam", ADDRESS, 1.0, ip_address(f"10.0.{network}.1"))
    assert kept.lookup(genuine.code, 2.0) is genuine
    assert len(kept.by_code) == MAX_REPORTS


def test_reports_of_one_and_by_one_are_seen_to_be_so() -> None:
    kept = reports()
    first = kept.add("1", "me", "spam", ADDRESS, 0.0, of_site(1))
    second = kept.add("2", "me too", "spam", ADDRESS, 0.0, of_site(1))
    third = kept.add("3", "another", "spam", HONEST, 0.0, of_site(2))
    assert first.reported == second.reported != third.reported
    assert first.reporter == second.reporter != third.reporter
    assert site_of(first.reporter) == site_of(third.reporter)
