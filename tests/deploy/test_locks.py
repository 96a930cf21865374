"""The locks fit what pyproject.toml asks for, each with the others, and say by hash what is meant."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.remote.release import LOCKS, ROOT

FILES = {path.stem: path for path in (ROOT / LOCKS).iterdir()}
ENTRY = re.compile(
    r"^(?P<asked>\S+==[^\\\n]+?) \\\n(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
OWN: str = PROJECT["project"]["name"]


class Pin(NamedTuple):
    """One version of a package; its marker says for which Pythons, if not for all."""

    name: str
    version: str
    marker: str


def pins(file: Path) -> list[Pin]:
    asked = [Requirement(found["asked"]) for found in ENTRY.finditer(file.read_text())]
    return [
        Pin(canonicalize_name(one.name), str(one.specifier).removeprefix("=="), str(one.marker or ""))
        for one in asked
    ]


def wanted(name: str) -> Iterator[Requirement]:
    """What pyproject.toml asks for, with what the extra's extras do."""
    for text in (*PROJECT["project"]["dependencies"], *EXTRAS.get(name, ())):
        asked = Requirement(text)
        if asked.name != OWN:
            yield asked
        for extra in asked.extras if asked.name == OWN else ():
            yield from wanted(extra)


def test_each_extra_has_a_lock() -> None:
    assert set(FILES) == {"run", *EXTRAS}


@pytest.mark.parametrize("name", sorted(FILES))
def test_lock_is_what_is_asked_for(name: str) -> None:
    locked = pins(FILES[name])
    for asked in wanted(name):
        versions = [pin.version for pin in locked if pin.name == canonicalize_name(asked.name)]
        assert versions, f"{asked}: run make lock"
        assert all(asked.specifier.contains(version) for version in versions), f"{asked}: run make lock"


@pytest.mark.parametrize("name", sorted(FILES))
def test_everything_has_a_hash_and_no_place_of_its_own(name: str) -> None:
    """Nothing stands there beside such entries and comments: no address of an index, no folder."""
    text = re.sub(r"^#.*\n", "", FILES[name].read_text(), flags=re.MULTILINE)
    assert ENTRY.search(text)
    assert ENTRY.sub("", text) == ""


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_what_runs_is_what_is_tested(name: str) -> None:
    assert set(pins(FILES["run"])) <= set(pins(FILES[name]))


def test_machines_of_all_kinds_run_the_same() -> None:
    """pip would ask a marker of the Python that it runs in, and not of that which the code is for."""
    assert [pin for pin in pins(FILES["run"]) if pin.marker] == []


def test_what_builds_is_locked() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= set(EXTRAS["build"])
