"""The table of foreign clients, for the terminal and for the README, where it stands between two comments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.interop.cases import FINE, WAYS, Case, Row
from tests.interop.rows import ROWS

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- written by make interop -->", "<!-- until here -->"
BLOCK = re.compile(rf"(?<={BEGIN}\n).*?(?={END})", re.DOTALL)
HEAD = ("client", "what it does", *WAYS, "because")
MARK = {FINE: "✓"}
Outcomes = Mapping[Case, str]


def wanted(rows: Sequence[Row] = ROWS) -> dict[Case, str]:
    """What has to come of each cell."""
    return {case: case.wanted for row in rows for case in (Case(row, name) for name in row.cells)}


def line(row: Row, outcomes: Outcomes) -> tuple[str, ...]:
    found = (outcomes.get(Case(row, name), "") for name in WAYS)
    return (row.client, row.what, *(MARK.get(outcome, outcome) for outcome in found), row.reason)


def lines(outcomes: Outcomes) -> list[tuple[str, ...]]:
    """A line for each row that has an outcome."""
    rows = dict.fromkeys(case.row for case in outcomes)
    return [line(row, outcomes) for row in rows]


def plain(outcomes: Outcomes) -> str:
    """Aligned, for a terminal."""
    table = [HEAD, *lines(outcomes)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table)


def markdown(outcomes: Outcomes) -> str:
    table = [HEAD, ("---", "---", *[":-:"] * len(WAYS), "---"), *lines(outcomes)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def write(outcomes: Outcomes, versions: str) -> None:
    """Put the table of a whole run into the README."""
    text = README.read_text()
    block = f"\n{versions}\n\n{markdown(outcomes)}"
    README.write_text(BLOCK.sub(lambda _: block, text))


def read() -> str:
    """What stands in the README now. Raises ValueError where its place is missing."""
    found = BLOCK.search(README.read_text())
    if found is None:
        raise ValueError(f"the README has no {BEGIN} with {END} after it")
    return found[0]
