"""The house: folders are its layers, and imports go down only. A new row or arrow is decided here first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import READS_THE_FILE, ROOT, arrows, below, folder, has_code, imported, place, sources

# A folder -> the folders that its files may import, beside itself. Each stands below the one that names it.
LAYERS: dict[str, tuple[str, ...]] = {
    "host": (),
    "turn": (),
    "turn/wire": ("turn",),
    "turn/limits": ("turn",),
    "turn/gate": ("turn", "turn/limits", "turn/wire"),
    "turn/core": ("turn", "turn/gate", "turn/limits", "turn/wire"),
    "turn/engines": ("host", "turn", "turn/limits", "turn/wire"),
    "turn/engines/loop": ("turn", "turn/engines", "turn/wire"),
    "turn/engines/udp": ("turn", "turn/engines", "turn/engines/loop", "turn/wire"),
    "turn/engines/tcp": ("host", "turn", "turn/engines", "turn/engines/loop", "turn/limits", "turn/wire"),
    "turn/engines/portable": ("host", "turn", "turn/engines", "turn/engines/*"),
    "turn/engines/kernel": ("host", "turn", "turn/engines", "turn/engines/*", "turn/wire"),
    "turn/config": ("host", "turn", "turn/wire"),
    "turn/service": ("host", "turn", "turn/*", "turn/engines/*"),
    "turn/workers": ("host", "turn", "turn/*", "turn/engines/*"),
    "turn/process": ("host", "turn", "turn/*", "turn/engines/*"),
    "server/languages": (),
    "server/config": ("host", "server/languages"),
    "server/store": ("host", "turn/limits"),
    "server/signalling": ("turn/limits",),
    "server/web": ("host", "server/*", "turn", "turn/limits", "turn/wire"),
    "server": ("host", "server/*", "turn", "turn/limits", "turn/wire"),
    "config": ("host", "server", "server/*", "turn", "turn/*"),
    "deploy/agent": (),
    "deploy/remote": ("config", "host", "server/*", "turn/*", "turn/engines/*"),
    "deploy/doctor": ("config", "deploy/remote", "host", "server/store", "turn", "turn/*", "turn/engines/*"),
    "deploy/cli": ("config", "deploy/*", "host", "server", "server/*", "turn", "turn/*"),
}

# What decides has neither clock nor socket nor logger: time and randomness come in as arguments.
PURE = ("server/signalling", "turn", "turn/core", "turn/gate", "turn/limits", "turn/wire")
IMPURE = {
    *("asyncio", "datetime", "logging", "os", "random", "secrets", "select", "selectors", "socket", "ssl"),
    *("subprocess", "threading", "time"),
}

# Values, entry points and tables: nothing in them decides.
WITHOUT_TEST = {
    "turn/__main__.py",
    "deploy/cli/__main__.py",
    "server/signalling/close_codes.py",
    "server/signalling/effects.py",
    "turn/core/effects.py",
    "turn/core/settings.py",
    "turn/errors.py",
    "turn/flows.py",
}

# Files of tests that belong to no single module, and why. All others are named after the module that they
# test, or begin with its name: test_relay_floods.py tests relay.py.
OF_THE_WHOLE = {
    "tests/deploy/end_to_end/": "whole deployments, on booted machines",
    "tests/deploy/test_locks.py": "deploy/locks",
    "tests/live/": "the whole service, with browsers and other people's clients",
    "tests/server/languages/test_translations.py": "the catalogs",
    "tests/server/test_protocol_document.py": "docs/protocol.md",
    "tests/test_docstrings.py": "what is said of public interfaces",
    "tests/test_habits.py": "what a stranger's tools read",
    "tests/test_layers.py": "all imports",
    "tests/test_links.py": "all documents",
    "tests/test_package.py": "wheel, sdist and release",
    "tests/test_words.py": "all names, and all texts",
    "tests/turn/engines/test_contract": "what every engine does, as turn/engines/__init__.py has it",
}


def beneath(name: str) -> set[str]:
    """The folders that a row allows; `turn/*` are those directly in turn that have an earlier row."""
    above = list(LAYERS)[: list(LAYERS).index(name)]
    wide = {row.removesuffix("/*") for row in LAYERS[name] if row.endswith("/*")}
    return {row for row in above if row in LAYERS[name] or row.rpartition("/")[0] in wide}


@pytest.mark.parametrize("path", sources(), ids=place)
def test_imports_go_down_only(path: Path) -> None:
    if place(path) != READS_THE_FILE and has_code(path):
        wrong = below(path) - beneath(folder(path))
        assert not wrong, f"{place(path)} imports from {sorted(wrong)}"


def test_rows_are_few_and_name_only_what_stands_in_a_row_before() -> None:
    assert len(LAYERS) <= 27
    for name, rows in LAYERS.items():
        plain = {row for row in rows if not row.endswith("/*")}
        assert plain <= beneath(name), f"{name} stands below {sorted(plain - beneath(name))}"


def test_each_folder_with_code_has_a_row_and_each_row_is_one() -> None:
    assert set(arrows()) == set(LAYERS)


@pytest.mark.parametrize("path", [path for path in sources() if folder(path) in PURE], ids=place)
def test_what_decides_has_no_clock_no_socket_and_no_logger(path: Path) -> None:
    if place(path) != READS_THE_FILE:
        assert not {name.split(".")[0] for name in imported(path)} & IMPURE


def test_every_module_has_a_test_of_the_same_name() -> None:
    missing = [
        place(path)
        for path in sources()
        if place(path) not in WITHOUT_TEST
        and path.name != "__init__.py"
        and not (ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.name}")).exists()
    ]
    assert not missing


def files_of_tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", files_of_tests(), ids=place)
def test_nothing_is_taken_from_a_file_of_tests(path: Path) -> None:
    """What several tests share lives in a file that is none."""
    wrong = {name for name in imported(path) if any(part.startswith("test_") for part in name.split("."))}
    assert not wrong, f"{place(path)} imports {sorted(wrong)}"


def mirrors(path: Path) -> bool:
    """Whether it is named after a module, in the folder that its own stands for or beside it."""
    folders = (ROOT / path.parent.relative_to(ROOT / "tests"), path.parent)
    modules = {file.stem for folder in folders for file in folder.glob("*.py") if file != path}
    name = path.stem.removeprefix("test_")
    return any(f"{name}_".startswith(f"{module}_") for module in modules)


def test_every_file_of_tests_is_named_after_a_module() -> None:
    named = [place(path) for path in files_of_tests() if path.name.startswith("test_") and not mirrors(path)]
    strange = [name for name in named if not name.startswith(tuple(OF_THE_WHOLE))]
    unused = [row for row in OF_THE_WHOLE if not any(name.startswith(row) for name in named)]
    assert (strange, unused) == ([], [])


def test_the_floors_of_the_architecture_are_these() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    table = text.partition("## The floors")[2].partition("\n## ")[0]
    named = [line.split("`")[1].rstrip("/") for line in table.splitlines() if line.startswith("| `")]
    one_row = {name for name in LAYERS if name.startswith("turn/engines/")}  # said in the row of turn/engines
    assert sorted(named) == sorted(set(LAYERS) - one_row)
