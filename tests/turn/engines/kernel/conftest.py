"""The program in the kernel, in a namespace of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.turn.engines import land
from turn.engines.kernel.program import Program

SLOTS = 256  # flows


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    place = land.Place()
    with place.inside():
        program = Program(SLOTS)
        yield program
        program.close()
    os.close(place.descriptor)
