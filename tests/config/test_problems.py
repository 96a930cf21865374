"""Every mistake in a configuration file has its sentence, with line and column."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
import yaml

from config.file import parse_config
from config.problems import WRONG_NAME, ConfigError, Unreadable, file_problem
from deploy.cli.main import main as calln
from tests.turn.faults import Fault
from turn.__main__ import main as relay

ROOT = Path(__file__).parents[2]
BAD: list[dict[str, str]] = yaml.safe_load((ROOT / "tests/data/bad_configs.yaml").read_text())


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["name"])
def test_mistake_names_line_column_and_what_to_write(case: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(case["text"], Path("config.yaml"))
    assert error.value.problems == (f"config.yaml:{case['says']}",)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        parse_config("site: {nam: x}\nturn: {workers: 0, relm: y}\n", Path("c"))
    assert [problem.split(": ")[1] for problem in error.value.problems] == [
        "site.nam",
        "turn.workers",
        "turn.relm",
    ]


TROUBLES = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOSPC, errno.EACCES)


@pytest.mark.parametrize("number", [*WRONG_NAME, *TROUBLES])
def test_only_a_wrong_name_is_a_mistake_in_the_configuration(number: int) -> None:
    error = OSError(number, os.strerror(number))
    problem = file_problem(Path("c.yaml"), error, "; look there")
    assert str(problem) == f"c.yaml: {os.strerror(number)}; look there"
    assert isinstance(problem, Unreadable) is (number not in WRONG_NAME)


@pytest.mark.parametrize(("number", "code"), [(errno.EIO, 74), (errno.EMFILE, 74), (errno.ENOENT, 78)])
def test_a_service_manager_tries_again_after_a_trouble_of_the_disk(
    number: int,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("turn: {}\n")
    monkeypatch.setattr(sys, "argv", ["turn", "--config", str(file)])
    Fault(monkeypatch, Path, "open").number = number
    assert calln(["serve", "--config", str(file)]) == code
    assert relay() == code
    assert capsys.readouterr().err.count(os.strerror(number)) == 2
