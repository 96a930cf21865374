"""The house as its imports show it: folders, what each imports, and a drawing of both (`make house`)."""

from __future__ import annotations

import argparse
import ast
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("deploy", "config", "server", "turn", "host")  # from the roof to the ground
PICTURE = ROOT / "docs" / "house.svg"

# `python -m turn`, the one arrow that goes up: it reads the configuration.
READS_THE_FILE = "turn/__main__.py"

COLOURS = {
    "deploy": "#dfe9f5",
    "config": "#f3e6d8",
    "server": "#e2f0e2",
    "turn": "#f4e3ea",
    "host": "#e9e6f4",
}
STYLE = """
  rankdir=TB; ranksep=0.42; nodesep=0.22; newrank=true; bgcolor="white";
  label="An arrow means: imports. It is left out where other arrows lead to the same folder.";
  fontname="Helvetica"; fontsize=13; labelloc=b;
  node [shape=box, style="filled,rounded", fillcolor="white", fontname="Helvetica", fontsize=13,
        margin="0.14,0.07"];
  edge [color="#55555599", arrowsize=0.6];
"""

Arrows = Mapping[str, frozenset[str]]


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def folder(path: Path) -> str:
    return place(path.parent)


def imported(path: Path) -> set[str]:
    """Full names; of what is taken out of a module, `module.name`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def folder_of(name: str) -> str | None:
    """The folder of a module of ours, by its name or by that of something in it."""
    parts = name.split(".")
    if parts[0] not in ROOMS:
        return None
    while not (ROOT.joinpath(*parts).is_dir() or ROOT.joinpath(*parts).with_suffix(".py").is_file()):
        parts.pop()
    found = ROOT.joinpath(*parts)
    return place(found if found.is_dir() else found.parent)


def has_code(path: Path) -> bool:
    """False for an `__init__.py` that only says what its folder is for."""
    return path.name != "__init__.py" or len(ast.parse(path.read_text()).body) > 1


def below(path: Path) -> set[str]:
    """The other folders that a file imports from."""
    found = {folder_of(name) for name in imported(path)}
    return {name for name in found if name is not None and name != folder(path)}


@cache
def arrows() -> Arrows:
    """Each folder with code, and the folders that its files import from."""
    found: dict[str, set[str]] = {}
    for path in sources():
        if has_code(path):
            found.setdefault(folder(path), set())
            if place(path) != READS_THE_FILE:
                found[folder(path)] |= below(path)
    return {name: frozenset(found[name]) for name in sorted(found)}


def reached(name: str, all_arrows: Arrows) -> set[str]:
    """All folders that stand below, near and far."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        near = all_arrows.get(waiting.pop(), frozenset()) - found
        found |= near
        waiting += near
    return found


def drawn(all_arrows: Arrows) -> set[tuple[str, str]]:
    """The arrows that no longer way replaces."""
    return {
        (name, lower)
        for name, near in all_arrows.items()
        for lower in near
        if not any(lower in reached(other, all_arrows) for other in near - {lower})
    }


def purpose(name: str) -> str:
    """What the folder is for: what its `__init__.py` says before the first full stop or colon."""
    text = ast.get_docstring(ast.parse((ROOT / name / "__init__.py").read_text())) or ""
    return text.partition(".")[0].partition(":")[0]


def lines() -> dict[str, int]:
    """Lines of code of the files in each folder, subfolders not counted."""
    counts: dict[str, int] = {}
    for path in sources():
        counts[folder(path)] = counts.get(folder(path), 0) + len(path.read_text().splitlines())
    return counts


def box(name: str, count: int) -> str:
    """A folder as graphviz draws it, in three lines."""
    files = sum(folder(path) == name and has_code(path) for path in sources())
    size = f"{files} file{'s'[: files != 1]}, {count:,} lines"
    text = f'{name}<br/><font point-size="11">{purpose(name)}</font><br/><font point-size="11">{size}</font>'
    return f'"{name}" [label=<{text}>];'


def graph() -> Iterator[str]:
    """The drawing in graphviz's language."""
    all_arrows, counts = arrows(), lines()
    yield f"digraph house {{{STYLE}"
    for room in ROOMS:
        yield f'subgraph "cluster_{room}" {{ label="{room}/"; color="{COLOURS[room]}";'
        yield 'style="rounded,filled"; fontname="Helvetica"; fontsize=17; labeljust=l; labelloc=t;'
        yield from (box(name, counts[name]) for name in all_arrows if name.split("/")[0] == room)
        yield "}"
    yield from (f'"{upper}" -> "{lower}";' for upper, lower in sorted(drawn(all_arrows)))
    yield '"turn" -> "host" [style=invis]; }'  # the ground is drawn lowest


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.house", description=__doc__)
    parser.add_argument("--into", type=Path, default=PICTURE, metavar="FILE")
    into: Path = parser.parse_args().into
    made = subprocess.run(
        ["dot", "-Tsvg"], input="\n".join(graph()), capture_output=True, text=True, check=True
    )
    into.parent.mkdir(exist_ok=True)
    into.write_text(made.stdout)


if __name__ == "__main__":
    main()
