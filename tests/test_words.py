"""Names carry the house: one class to a name, and few names that mean something else in each file."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.house import ROOT, place, sources

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

MANY_FILES = 4  # in so many, a name alone does not say any more what it stands for
LARGEST_SHARE = 0.10  # of all definitions, those with such a name

DOCUMENTS = ("*.md", "docs/*.md", "config.example.yaml")
PAGES = ("server/static/*.js", "templates/*.yaml", "templates/**/*.html")
INSTALLED = ("templates/etc/**/*", "templates/usr/**/*")
TESTS = ("tests/**/*.py", "tests/**/*.yaml", "Makefile", ".github/**/*")
HARD = re.compile(r"\b(whoever|whosoever|whom|whomever|nobody's|somebody's|anybody's)\b", re.IGNORECASE)


def texts() -> list[Path]:
    """All that people read here. Only this file may name the hard words."""
    patterns = DOCUMENTS + PAGES + INSTALLED + TESTS
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return [*sources(), *sorted(found - {Path(__file__)})]


@cache
def definitions() -> tuple[tuple[Path, Definition], ...]:
    """Every class, function and method of the house, but for those whose names Python gives."""
    return tuple((path, node) for path in sources() for node in defined(ast.parse(path.read_text())))


def defined(tree: ast.Module) -> Iterator[Definition]:
    for node in ast.walk(tree):
        if isinstance(node, Definition) and not (node.name.startswith("__") and node.name.endswith("__")):
            yield node


def places(*kinds: type[Definition]) -> dict[str, set[str]]:
    """Each name, and the files that define it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path, node in definitions():
        if isinstance(node, kinds):
            found[node.name].add(place(path))
    return found


def test_a_class_name_stands_for_one_class() -> None:
    twice = {name: sorted(files) for name, files in places(ast.ClassDef).items() if len(files) > 1}
    assert not twice


def test_few_definitions_have_a_name_that_many_files_use() -> None:
    common = {
        name: len(files)
        for name, files in places(ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef).items()
        if len(files) >= MANY_FILES
    }
    share = sum(node.name in common for _, node in definitions()) / len(definitions())
    most = sorted(common, key=common.__getitem__, reverse=True)
    assert share <= LARGEST_SHARE, f"{share:.1%} of the definitions have names of many files: {most}"


@pytest.mark.parametrize("path", texts(), ids=place)
def test_what_people_read_is_plain_english(path: Path) -> None:
    lines = enumerate(path.read_text().splitlines(), 1)
    hard = [f"{place(path)}:{number}: {line.strip()}" for number, line in lines if HARD.search(line)]
    assert not hard, "a reader whose third language this is may not understand:\n" + "\n".join(hard)
