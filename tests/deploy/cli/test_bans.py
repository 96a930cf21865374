"""`calln ban` against a real ban list."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from argparse import Namespace
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path

import pytest

from config.file import Config, parse_config
from deploy.cli import bans
from deploy.doctor.operator_client import OperatorError
from server.store import StoreError
from server.store.bans import MAX_REASON, Bans
from server.store.sqlite import FILE, open_store
from tests.server.serving import serving


@pytest.fixture
def config(tmp_path: Path) -> Config:
    open_store(tmp_path / "state").close()  # as calln serve makes it
    return parse_config("site: {state_dir: state}", tmp_path / "config.yaml")


def add(config: Config, address: str | None, duration: str = "7d", report: str | None = None) -> int:
    return bans.add_ban(config, Namespace(address=address, report=report, reason="a note", duration=duration))


def test_bans_are_added_listed_and_lifted(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(config, "192.0.2.7") == 0
    assert add(config, "2001:db8::7", "ever") == 0
    capsys.readouterr()
    assert bans.list_bans(config, Namespace()) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["192.0.2.7/32", "2001:db8::/64"]
    assert "until you remove the ban" in rows[1]
    assert all(row.endswith("a note") for row in rows)
    assert bans.remove_ban(config, Namespace(address="192.0.2.7")) == 0
    assert bans.remove_ban(config, Namespace(address="192.0.2.7")) == 1
    assert "is not in the ban list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("duration", "seconds"), [("30m", 1800), ("12h", 43200), ("7d", 604800), ("ever", None)]
)
def test_durations(duration: str, seconds: int | None) -> None:
    assert bans.seconds_of(duration) == seconds


@pytest.mark.parametrize("duration", ["", "0d", "7", "d", "7w", "-1d", "1.5h", "999999d"])
def test_duration_that_cannot_be_meant(duration: str) -> None:
    with pytest.raises(bans.UsageError, match="write 30m, 12h, 7d or ever"):
        bans.seconds_of(duration)


@pytest.mark.parametrize(
    ("address", "report", "says"),
    [
        (None, None, "write either an address or --report"),
        ("192.0.2.7", "K7Q2-M9XD", "write either an address or --report"),
        ("192.0.2.300", None, "is not an address or a network"),
        ("0.0.0.0/0", None, "would ban everybody"),
        ("192.0.2.7/24", None, "is not an address or a network"),
    ],
)
def test_words_that_cannot_be_meant(
    config: Config, address: str | None, report: str | None, says: str
) -> None:
    with pytest.raises(bans.UsageError, match=says):
        add(config, address, report=report)


def test_a_folder_named_by_mistake_gets_no_ban_list(tmp_path: Path) -> None:
    elsewhere = parse_config("site: {state_dir: elsewhere}", tmp_path / "config.yaml")
    with pytest.raises(StoreError, match=r"there is no ban list; point site\.state_dir"):
        add(elsewhere, "192.0.2.7")
    with pytest.raises(StoreError, match=r"there is no ban list; point site\.state_dir"):
        bans.list_bans(elsewhere, Namespace())
    assert list(tmp_path.iterdir()) == []


def test_a_reason_does_not_move_the_cursor(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_store(config.site.state_dir)) as store:  # as an older version wrote it
        Bans(store).add(bans.parse_network("192.0.2.7"), time.time(), None, "up\x1b[2Jand\x9bback")
    assert bans.list_bans(config, Namespace()) == 0
    assert capsys.readouterr().out.endswith("up [2Jand back\n")


LONG = "grün\x1b[2J\n" * 200
ALIKE = [("99999d", "why"), ("ever", LONG), ("1m", "\ud800"), ("7d", "")]


@pytest.mark.parametrize(("duration", "reason"), ALIKE)
async def test_a_report_is_as_good_as_an_address(tmp_path: Path, duration: str, reason: str) -> None:
    config = parse_config(f"site: {{state_dir: {tmp_path}}}", tmp_path / "config.yaml")
    async with serving(tmp_path) as service:
        hub = service.web.hub
        reported = bans.parse_network("192.0.2.8").network_address
        code = hub.lobby.reports.add("call", "me", "spam", reported, hub.clock()).code
        for address, report in (("192.0.2.7", None), (None, code)):
            source = Namespace(address=address, report=report, reason=reason, duration=duration)
            assert await asyncio.to_thread(bans.add_ban, config, source) == 0
        one, other = hub.bans.list(time.time())
        assert one.reason == other.reason == bans.clean_reason(reason)
        assert len(one.reason) <= MAX_REASON
        assert (one.until is None) == (other.until is None) == (duration == "ever")
        source.report = "ABCD-EFGH"
        with pytest.raises(OperatorError, match="there is no report with this code"):
            await asyncio.to_thread(bans.add_ban, config, source)


async def test_reports_show_who_reported_whom_and_no_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse_config(f"site: {{state_dir: {tmp_path}}}", tmp_path / "config.yaml")
    async with serving(tmp_path) as service:
        hub = service.web.hub
        one, other = ip_address("192.0.2.8"), ip_address("2001:db8::8")
        for call, reason in (("1", "spam"), ("2", "sexual")):
            hub.lobby.reports.add(call, "me", reason, one, hub.clock(), other)
        assert await asyncio.to_thread(bans.list_reports, config, Namespace()) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [
        re.fullmatch(r"\S{9}  [0-9-]{10} [0-9:]{5}  \w+ +of (\S{6}) by (\S{6}-\S{4})", line) for line in lines
    ]
    assert len(names) == len({found.groups() for found in names if found}) + 1 == 2


async def test_a_ban_is_in_force_although_the_file_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse_config(f"site: {{state_dir: {tmp_path}}}", tmp_path / "config.yaml")
    async with serving(tmp_path) as service:
        visitor = await service.visitor("127.0.0.9")
        lock = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        source = Namespace(address="127.0.0.9", report=None, reason="", duration="7d")
        assert await asyncio.to_thread(bans.add_ban, config, source) == 0
        assert await visitor.closed() == 4403
        said = capsys.readouterr()
        assert said.out.startswith("Banned 127.0.0.9/32 until ")
        assert "database is locked; the ban is in force, but only in the memory" in said.err
        lock.close()
    with closing(open_store(tmp_path)) as store:
        assert [str(ban.network) for ban in store.bans()] == ["127.0.0.9/32"], (
            "written at the latest at its end"
        )


def test_without_a_server_a_ban_needs_the_file(config: Config) -> None:
    with closing(sqlite3.connect(config.site.state_dir / FILE, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="database is locked"):
            add(config, "192.0.2.7")
