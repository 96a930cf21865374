"""What the documents point at is there: links, headings, files, targets of make. And the README is short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import DOCS, ROOT

README_LINES = 150
DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
        *DOCS.glob("*.md"),
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TICKED = re.compile(r"`([^`\n]+)`")
# A path of this repository begins with a folder of it, and names a file or ends with a slash.
OURS = re.compile(
    r"(?:config|deploy|docs|host|server|templates|tests|turn|\.ci|\.github)/(?:[\w.@-]+/)*(?:[\w.@-]*\.\w+)?|\.ci/\w+"
)
TARGET = re.compile(r"\bmake ([a-z]+)")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """A document without its blocks of code, in which nothing is a link or a heading."""
    return FENCED.sub("", path.read_text("utf-8"))


def anchors(path: Path) -> set[str]:
    """What headings are called in an address: small letters, hyphens, and a number where one comes again."""
    found: list[str] = []
    for heading in HEADING.findall(prose(path)):
        bare = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        again = sum(one == bare or re.fullmatch(rf"{re.escape(bare)}-\d+", one) is not None for one in found)
        found.append(f"{bare}-{again}" if again else bare)
    return set(found)


def broken(path: Path) -> Iterator[str]:
    """Links that lead nowhere. Addresses of other sites are not asked."""
    for link in LINK.findall(prose(path)):
        place, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        there = (path.parent / place).resolve() if place else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            yield link


def missing(path: Path) -> Iterator[str]:
    """Paths in backticks that look like ours and are not there."""
    for ticked in TICKED.findall(prose(path)):
        if OURS.fullmatch(ticked) and not (ROOT / ticked).exists():
            yield ticked


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert not [*broken(path)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_path_that_is_named_is_there(path: Path) -> None:
    assert not [*missing(path)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_target_of_make_that_is_named_is_there(path: Path) -> None:
    code = "\n".join([*TICKED.findall(prose(path)), *FENCED.findall(path.read_text("utf-8"))])
    assert set(TARGET.findall(code)) <= targets()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= README_LINES


BAD = """# A heading
## Of `code`, and more!
## A heading
[good](#a-heading) [good](#a-heading-1) [good](#of-code-and-more) [bad](#a-heading-2) [bad](nowhere.md)
[good](README.md#calln) [bad](README.md#nothing) [other](https://example.org/x#y)
`turn/nothing.py` and `turn/flows.py`, `turn/` and `nothing/`
```
[no link](nowhere.md) `turn/nothing.py`
```
"""


def test_what_leads_nowhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_links.ROOT", tmp_path)
    for place, text in {"bad.md": BAD, "README.md": "# Calln\n", "turn/flows.py": ""}.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(text, "utf-8")
    assert [*broken(tmp_path / "bad.md")] == ["#a-heading-2", "nowhere.md", "README.md#nothing"]
    assert [*missing(tmp_path / "bad.md")] == ["turn/nothing.py"]
