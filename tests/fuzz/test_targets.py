"""Every kept input through its target, and ten seconds of new ones; `make fuzz` takes longer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE, STDOUT, CompletedProcess, run
from sys import executable

import pytest

from tests.fuzz.targets import TARGETS, seeds

SECONDS = "10"


def start(name: str, folder: Path) -> CompletedProcess[str]:
    command = [
        executable,
        "-m",
        "tests.fuzz",
        "--target",
        name,
        "--seconds",
        SECONDS,
        "--folder",
        str(folder),
    ]
    root = Path(__file__).parents[2]
    return run(command, cwd=root, stdout=PIPE, stderr=STDOUT, text=True, errors="replace", check=False)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_passes(name: str) -> None:
    inputs = seeds(name)
    assert inputs
    assert all(len(data) <= TARGETS[name].longest for data in inputs)
    for data in inputs:
        TARGETS[name].run(data)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheels for this Python or processor")
@pytest.mark.parametrize("name", TARGETS)
def test_ten_seconds_find_nothing(tmp_path: Path, name: str) -> None:
    """From a corpus that begins anew."""
    done = start(name, tmp_path)
    assert done.returncode == 0, done.stdout[-6000:]
