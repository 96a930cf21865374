"""The table of foreign clients, for the terminal and for docs/clients.md, between two comments there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.documents import DOCS, rewritten, written
from tests.interop.cases import FINE, WAYS, Case, Row
from tests.interop.rows import LEFT_OUT, ROWS

DOCUMENT = DOCS / "clients.md"
BY = "make interop"
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
    """A line for each row that has an outcome, then those that cannot be had."""
    rows = dict.fromkeys(case.row for case in outcomes)
    return [line(row, outcomes) for row in (*rows, *LEFT_OUT)]


def plain(outcomes: Outcomes) -> str:
    """Aligned, for a terminal."""
    table = [HEAD, *lines(outcomes)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table)


def markdown(outcomes: Outcomes) -> str:
    table = [HEAD, ("---", "---", *[":-:"] * len(WAYS), "---"), *lines(outcomes)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def write(outcomes: Outcomes, versions: str) -> None:
    """Put the table of a whole run into the document."""
    block = f"{versions}\n\n{markdown(outcomes)}"
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text("utf-8"), BY, block), "utf-8")


def read() -> str:
    """What stands in the document now. Raises ValueError where its place is missing."""
    return written(DOCUMENT.read_text("utf-8"), BY)
