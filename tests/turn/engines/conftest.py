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
VARIANTS = ("kernel without room", "kernel without life")
LOADED = "kernel as root has loaded it"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """TCP and proxies are the portable engine's, whichever of the two is asked."""
    if "make" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        names = [*MAKERS, LOADED] if module == "test_contract" else ["kernel", "portable"]
        names = names if module.startswith("test_contract") else ["portable"]
        metafunc.parametrize("make", names, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """TLS lies above TCP, and streams are the portable engine's. What tells the kernel's variants from each
    other meets TCP in each of them, and TLS in the usual one."""
    twice = {item for item in items if is_tls_of_a_variant(item)}
    config.hook.pytest_deselected(items=[*twice])
    items[:] = [item for item in items if item not in twice]


def is_tls_of_a_variant(item: pytest.Item) -> bool:
    values = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return values.get("transport") == "tls" and values.get("make") in {*VARIANTS, LOADED}


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Maker:
    if "kernel" in request.param:
        request.getfixturevalue("place")
    if request.param == LOADED:
        pins = request.getfixturevalue("pins")
        loader.load(pins, 2, 4096)  # two engines, where a test wants two
        return partial(Kernel, pins=pins)
    return MAKERS[request.param]
