"""A report lives half an hour under a code that nobody guesses, and never are there too many."""

from __future__ import annotations

import re
import secrets
from ipaddress import ip_address

from server.signalling.reports import CODE_LETTERS, KEPT_SECONDS, MAX_PER_NETWORK, MAX_REPORTS, Reports

ADDRESS = ip_address("192.0.2.1")


def reports() -> Reports:
    return Reports(lambda: secrets.choice(CODE_LETTERS))


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
    kept = Reports(lambda: next(letters))
    codes = [kept.add(call, "me", "spam", ADDRESS, 0.0).code for call in "12"]
    assert codes == ["AAAA-AAAA", "BBBB-BBBB"]


def test_a_flood_keeps_the_newest() -> None:
    kept = reports()
    codes = [kept.add(str(call), "me", "spam", ADDRESS, call).code for call in range(MAX_REPORTS + 10)]
    assert [report.code for report in kept.all(MAX_REPORTS)] == codes[10:]
    assert len(kept.by_call) == MAX_REPORTS


def test_one_household_pushes_out_its_own_reports_only() -> None:
    kept = reports()
    genuine = kept.add("call", "me", "minor", ADDRESS, 0.0, ip_address("198.51.100.1"))
    flood = [
        kept.add(str(call), "him", "spam", ADDRESS, 1.0, ip_address(f"2001:db8::{call + 1:x}"))
        for call in range(MAX_REPORTS + 10)
    ]
    assert kept.lookup(genuine.code, 2.0) is genuine
    assert list(kept.all(2.0)) == [genuine, *flood[-MAX_PER_NETWORK:]]
    assert len(kept.by_call) == MAX_PER_NETWORK + 1
