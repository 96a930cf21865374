"""Routers and machines for the tests that send packets through them, and networks of a test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.turn.engines import land


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, land.Place]]:
    with land.country() as places:
        yield places


@pytest.fixture
def place() -> Iterator[land.Place]:
    """This thread is there: a program in the kernel is attached to all interfaces."""
    if os.geteuid() != 0:
        pytest.skip("a program in the kernel, and a network of its own, need root")
    place = land.Place()
    with place.inside():
        yield place
    os.close(place.descriptor)


@pytest.fixture
def pins(place: land.Place, tmp_path: Path) -> Iterator[Path]:
    """An empty folder of a file system for what the kernel keeps."""
    system = tmp_path / "bpf"
    system.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", system], check=True)
    yield system / "calln" / "release"
    subprocess.run(["umount", "--lazy", system], check=True)
