"""Every test that asks for a maker runs once for each engine; the contract also where the kernel lets nothing
ride."""

from __future__ import annotations

from functools import partial

import pytest

from tests.turn.engines.world import Maker
from turn.engines.kernel import loader
from turn.engines.kernel.engine import Kernel
from turn.engines.portable.engine import Portable

MAKERS: dict[str, Maker] = {
    "portable": Portable,
    "kernel": partial(Kernel, slots=4096),  # a small one is loaded sooner
    "kernel without room": partial(Kernel, slots=2),
    "kernel without life": partial(Kernel, lease=-1),
}
LOADED = "kernel as root has loaded it"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """TCP and proxies are the portable engine's, whichever of the two is asked."""
    if "make" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        names = [*MAKERS, LOADED] if module == "test_contract" else ["kernel", "portable"]
        names = names if module.startswith("test_contract") else ["portable"]
        metafunc.parametrize("make", names, indirect=True)


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Maker:
    if "kernel" in request.param:
        request.getfixturevalue("place")
    if request.param == LOADED:
        pins = request.getfixturevalue("pins")
        loader.load(pins, 2, 4096)  # two engines, where a test wants two
        return partial(Kernel, pins=pins)
    return MAKERS[request.param]
