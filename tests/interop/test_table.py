"""The table of foreign clients in docs/clients.md is the one that the rows make."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents import BEGIN, END
from tests.interop import table
from tests.interop.cases import WAYS, Case, Row, cases
from tests.interop.homes import Homes
from tests.interop.relay import Relay
from tests.interop.rows import LEFT_OUT, ROWS

RELAY = Relay(1, 2, 3, Path("trust.pem"), Homes("relay", "one", "other"))
SMALL = Row("a client", "words", ("client", "{url}"), {"UDP": "ok", "TLS": "442"}, "heard", "of a reason")


def test_the_document_lists_exactly_the_rows() -> None:
    assert table.read().endswith(f"\n\n{table.markdown(table.wanted())}\n")


def test_no_two_rows_have_one_name() -> None:
    names = [(row.client, row.what) for row in (*ROWS, *LEFT_OUT)]
    assert len(set(names)) == len(names)


def test_whatever_does_not_go_has_a_reason() -> None:
    partly = [row for row in (*ROWS, *LEFT_OUT) if set(row.cells.values()) != {"ok"}]
    silent = {(row.client, row.what) for row in partly if not row.reason}
    assert silent <= {(row.client, row.what) for row in ROWS if row.hostile}


@pytest.mark.parametrize(
    "case", [*cases(ROWS)], ids=lambda case: f"{case.row.client}-{case.row.what}-{case.name}"
)
def test_every_command_has_what_it_asks_for(case: Case) -> None:
    assert case.name in WAYS
    assert not [word for word in case.words(RELAY, 4) if "{" in word]


def test_a_row_is_a_line_and_a_way_that_was_not_tried_is_empty() -> None:
    outcomes = table.wanted((SMALL,))
    line = "| a client | words | ✓ |  |  |  | 442 |  | of a reason |\n"
    assert table.markdown(outcomes).splitlines(keepends=True)[2] == line
    assert table.plain(outcomes).splitlines()[1].replace(" ", "") == "aclientwords✓442ofareason"


def test_what_cannot_be_had_stands_at_the_end() -> None:
    lines = table.markdown(table.wanted((SMALL,))).splitlines()[3:]
    assert [line.split(" | ")[0] for line in lines] == [f"| {row.client}" for row in LEFT_OUT]
    assert all(row.reason in line for row, line in zip(LEFT_OUT, lines, strict=True))


def test_writing_changes_the_place_in_the_document_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, begin = tmp_path / "clients.md", BEGIN.format(table.BY)
    document.write_text(f"before\n{begin}\nold\n{END}\nafter\n")
    monkeypatch.setattr(table, "DOCUMENT", document)
    table.write(table.wanted((SMALL,)), "Versions.")
    wanted = f"\nVersions.\n\n{table.markdown(table.wanted((SMALL,)))}\n"
    assert table.read() == wanted
    assert document.read_text() == f"before\n{begin}\n{wanted}{END}\nafter\n"
