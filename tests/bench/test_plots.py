"""The pictures and the table of docs/performance.md are those of the figures beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.plots import (
    BY,
    DOCUMENT,
    FIGURES,
    FRAMES_BY,
    PLOTS,
    Bars,
    Plot,
    conditions,
    digest,
    draw,
    frames_table,
    table,
)
from tests.documents import DOCS, written

SMALL = Plot("small", "Apples a day", "apples", (Bars("all", "apples"), Bars("red ones", "red")))
ROWS = {
    "apples": {"calln": [3.0, 1.0, 2.0], "coturn": [4.0, 4.0, 4.0]},
    "red": {"calln": [0.5], "coturn": [0.25]},
}


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_every_picture_is_of_the_figures_that_lie_beside_it(plot: Plot) -> None:
    """Else `make plots` draws it anew."""
    assert digest(FIGURES.read_bytes()) in (DOCS / f"{plot.name}.svg").read_text("utf-8")
    assert f"({plot.name}.svg)" in DOCUMENT.read_text("utf-8")


def test_the_table_is_of_the_figures_too() -> None:
    kept = json.loads(FIGURES.read_bytes())
    for by, part, lines in ((BY, kept, table), (FRAMES_BY, kept["frames"], frames_table)):
        block = "\n".join((conditions(part["run"], part["rows"]), "", *lines(part["rows"])))
        assert written(DOCUMENT.read_text("utf-8"), by).strip() == block


def test_a_picture_says_what_it_shows(tmp_path: Path) -> None:
    picture = draw(SMALL, ROWS, "the source", tmp_path).read_text("utf-8")
    for said in ("Apples a day", "apples", "red ones", "Calln", "coturn", "the source"):
        assert said in picture


def test_a_picture_drawn_twice_is_the_same(tmp_path: Path) -> None:
    first, second = (draw(SMALL, ROWS, "the source", tmp_path).read_bytes() for _ in range(2))
    assert first == second


def test_a_row_that_was_not_measured_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        draw(SMALL, {"apples": ROWS["apples"]}, "the source", tmp_path)


def test_the_table_has_medians_and_the_spread_of_the_rounds() -> None:
    _, _, apples, red = table(ROWS)
    assert apples == "| apples | 2.00 | 4.00 | 0.50 | 0.25 to 0.75 |"
    assert red == "| red | 0.50 | 0.25 | 2.00 | 2.00 to 2.00 |"


def test_rows_of_frames_are_beside_what_only_sends_back() -> None:
    whole = {"kernel": [3.0, 1.0, 2.0], "calln": [9.0], "coturn": [8.0], "bounce": [1.6]}
    rows = {"pears": whole, "plums": {"kernel": [0.0], "calln": [1.0], "coturn": [0.0]}}
    _, _, pears, plums = frames_table(rows)
    assert pears == "| pears | 2.00 | 9.00 | 8.00 | 1.60 | 0.25 | 1.25 |"
    assert plums == "| plums | 0.00 | 1.00 | 0.00 |  |  |  |"
