"""The program: built from its source, loaded where that is allowed, and gone with its process."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.turn.engines import land
from turn.engines.kernel.layout import BUCKET, CONFIG_SIZE, KEY, SLOT_SIZE
from turn.engines.kernel.maps import CannotRide
from turn.engines.kernel.program import OBJECT, Program

ROOT = Path(__file__).parents[4]


@pytest.mark.skipif(
    shutil.which("clang-14") is None, reason="the compiler that it is kept of is not installed"
)
def test_what_is_kept_is_what_the_source_makes(tmp_path: Path) -> None:
    made = tmp_path / OBJECT.name
    subprocess.run(["make", "--silent", "program", f"PROGRAM={made}"], cwd=ROOT, check=True)
    assert made.read_bytes() == OBJECT.read_bytes()


def test_structures_are_as_large_here_as_there(place: land.Place) -> None:
    program = Program(2)
    sizes = {"flows": 4, "slots": SLOT_SIZE, "buckets": BUCKET.size, "config": CONFIG_SIZE}
    for name, size in sizes.items():
        found = program.lib.bpf_object__find_map_by_name(program.object, name.encode())
        pointer = ctypes.c_void_p(found)
        assert program.lib.bpf_map__value_size(pointer) == size
        assert name != "flows" or program.lib.bpf_map__key_size(pointer) == KEY.size
    program.close()


def test_it_is_attached_to_what_there_is(place: land.Place) -> None:
    program = Program(2)
    program.attach(1)
    with pytest.raises(CannotRide, match="cannot be attached"):
        program.attach(4711)
    program.detach(1)
    program.attach(1)
    program.close()


WITHOUT_RIGHTS = """
import os
from turn.engines.kernel.program import CannotRide, Program
os.setuid(65534)
try:
    Program(2)
except CannotRide as reason:
    print(reason)
"""


def test_without_rights_it_says_which(place: land.Place) -> None:
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON" in said.stdout
    assert not said.stderr
