"""Every kept input through its target, and some seconds of new ones; `make fuzz` takes longer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from sys import executable

import pytest

from tests.fuzz.targets import TARGETS, seeds

SECONDS = 5  # for each target


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is printed of all targets, one after the other, from corpora that begin anew."""
    if find_spec("atheris") is None:
        pytest.skip("atheris has no wheels for this Python or processor")
    folder = tmp_path_factory.mktemp("fuzz")
    command = [executable, "-m", "tests.fuzz", "--seconds", f"{SECONDS}", "--at-once", "1"]
    root = Path(__file__).parents[2]
    done = run(
        [*command, "--folder", f"{folder}"],
        cwd=root,
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_passes(name: str) -> None:
    inputs = seeds(name)
    assert inputs
    assert all(len(data) <= TARGETS[name].longest for data in inputs)
    for data in inputs:
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_some_seconds_find_nothing(told: str, name: str) -> None:
    assert f"{name}: nothing found; stat::number_of_executed_units" in told, told
