"""The daily look, and what is told of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deploy.cli import watch
from deploy.cli.main import main
from deploy.doctor import local
from deploy.doctor.alerts import NotTold, Recipients
from deploy.doctor.changes import Changes
from deploy.doctor.machine import Finding

Capture = pytest.CaptureFixture[str]
ILL = Finding(False, "The disk of / has 3 MiB left.", "make room")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Changes]:
    """What is told. Nothing else is wrong than ILL."""
    said: list[Changes] = []
    to = {"mail": "a@b", "smtp": None, "webhook": "", "site": "s", "machine": "m", "roles": ["turn"]}
    (tmp_path / "alert.json").write_text(json.dumps(to))
    monkeypatch.setattr(watch, "ALERT", str(tmp_path / "alert.json"))
    monkeypatch.setattr(watch, "TOLD", tmp_path / "state" / "told.json")
    monkeypatch.setattr(watch, "troubles", lambda roles, release: [])
    monkeypatch.setattr(local, "CHECKS", [lambda _: [ILL, Finding(True, "Well.")]])
    monkeypatch.setattr(watch, "tell", lambda to, found: said.append(found))
    return said


def test_once_and_again_when_it_is_over(
    told: list[Changes], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for _ in range(2):
        assert main(["watch"]) == 0
    assert [found.begun for found in told] == [(ILL,)]
    monkeypatch.setattr(local, "CHECKS", [])
    assert main(["watch"]) == 0
    assert [found.over for found in told] == [(), (ILL.text,)]
    assert capsys.readouterr().out.splitlines()[-1] == "0 new, 1 over, 0 in all."


def test_what_could_not_be_told_is_told_the_next_time(
    told: list[Changes], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def fail(to: Recipients, found: Changes) -> None:
        raise NotTold("no mail to a@b: refused")

    monkeypatch.setattr(watch, "tell", fail)
    assert main(["watch"]) == os.EX_UNAVAILABLE
    assert "not told: no mail to a@b: refused" in capsys.readouterr().err
    monkeypatch.setattr(watch, "tell", lambda to, found: told.append(found))
    assert main(["watch"]) == 0
    assert told[0].begun == (ILL,)


def test_what_make_status_says_is_told_too(told: list[Changes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "troubles", lambda roles, release: [f"{roles} does not run; see the logs"])
    assert main(["watch"]) == 0
    assert told[0].begun[0] == Finding(False, "['turn'] does not run", "see the logs")


def test_nobody_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(watch, "ALERT", str(tmp_path / "none"))
    assert main(["watch"]) == os.EX_UNAVAILABLE
    assert "write deploy.alert" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_memory_is_an_empty_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "told.json").write_text(text)
    assert watch.read_told(tmp_path / "told.json") == {}
