"""`calln ban` against a real ban list."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from config import Config, parse
from deploy import bans


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse("site: {state_dir: state}", tmp_path / "config.yaml")


def add(config: Config, address: str | None, duration: str = "7d", report: str | None = None) -> int:
    return bans.add(config, Namespace(address=address, report=report, reason="a note", duration=duration))


def test_bans_are_added_listed_and_lifted(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(config, "192.0.2.7") == 0
    assert add(config, "2001:db8::7", "ever") == 0
    capsys.readouterr()
    assert bans.list_all(config, Namespace()) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["192.0.2.7/32", "2001:db8::/64"]
    assert "until lifted" in rows[1]
    assert all(row.endswith("a note") for row in rows)
    assert bans.remove(config, Namespace(address="192.0.2.7")) == 0
    assert bans.remove(config, Namespace(address="192.0.2.7")) == 1
    assert "is not banned" in capsys.readouterr().err


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
        (None, None, "name either an address or --report"),
        ("192.0.2.7", "K7Q2-M9XD", "name either an address or --report"),
        ("192.0.2.300", None, "is no address or network"),
        ("0.0.0.0/0", None, "would ban everybody"),
        ("192.0.2.7/24", None, "is no address or network"),
    ],
)
def test_words_that_cannot_be_meant(
    config: Config, address: str | None, report: str | None, says: str
) -> None:
    with pytest.raises(bans.UsageError, match=says):
        add(config, address, report=report)
