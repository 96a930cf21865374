"""Root's part of the kernel engine, as its unit runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WITH = "--bounding-set=-all,+bpf,+net_admin,+perfmon"
WITHOUT = "--bounding-set=-all"


def turn(config: Path, what: str, folder: Path, rights: str = WITH) -> subprocess.CompletedProcess[str]:
    """Run it as root with few capabilities."""
    words = ["setpriv", rights, "--inh-caps=-all", sys.executable, "-m", "turn", "--config", str(config)]
    return subprocess.run([*words, what, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path, "auto")


def write(folder: Path, engine: str) -> Path:
    config = folder / "config.yaml"
    config.write_text(f"turn:\n  engine: {engine}\n  workers: 2\n")
    return config


def test_each_process_of_the_file_gets_a_place_and_all_go_again(pins: Path, config: Path) -> None:
    release = pins.with_name("1.2-abc.3")
    for _ in range(2):  # a reload is the same
        assert turn(config, "--load", release).returncode == 0
        assert sorted(os.listdir(pins.with_name("1_2-abc_3"))) == ["0", "1"]
    for _ in range(2):
        assert turn(config, "--unload", release).returncode == 0
        assert not pins.parent.exists()


def test_for_the_portable_engine_there_is_nothing_to_load(pins: Path, tmp_path: Path) -> None:
    assert turn(write(tmp_path, "portable"), "--load", pins, WITHOUT).returncode == 0
    assert not pins.exists()


def test_where_it_may_not_it_says_why(pins: Path, config: Path) -> None:
    done = turn(config, "--load", pins, WITHOUT)
    assert done.returncode == os.EX_UNAVAILABLE
    assert done.stderr == (
        "turn.engine: calls cannot ride in the kernel: it needs root, or the capabilities CAP_BPF, "
        "CAP_NET_ADMIN and CAP_PERFMON\n"
    )
    assert not pins.exists()
