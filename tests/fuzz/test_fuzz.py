"""Every kept input through its target, and half a minute of new ones."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from os import cpu_count
from pathlib import Path
from subprocess import PIPE, STDOUT, CompletedProcess, run
from sys import executable

import pytest

from tests.fuzz.targets import TARGETS, seeds

SECONDS = "30"
Runs = dict[str, Future[CompletedProcess[str]]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """All targets, as many at once as there are processors, from a corpus that begins anew."""
    folder = tmp_path_factory.mktemp("fuzz")
    with ThreadPoolExecutor(cpu_count()) as pool:
        yield {name: pool.submit(start, name, folder) for name in TARGETS}


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
def test_half_a_minute_finds_nothing(runs: Runs, name: str) -> None:
    done = runs[name].result()
    assert done.returncode == 0, done.stdout[-6000:]
