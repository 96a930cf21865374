"""The bench's figures as pictures and as a table: `python -m tests.bench.plots`, or `make plots`.

Reads docs/performance.json, which `python -m tests.bench.relay --json` writes, draws the pictures of PLOTS
into docs/, and puts the tables of all rows into docs/performance.md. A bar is the median of its rounds; the
thin line on it leads from the lowest round to the highest. Each picture names the digest of its figures.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.figures import ratio
from tests.documents import DOCS, rewritten

FIGURES, DOCUMENT = DOCS / "performance.json", DOCS / "performance.md"
BY, FRAMES_BY = "make plots", "make plots, frames"
SERVERS = {  # their labels and colours
    "kernel": ("Calln, in the kernel", "#2b5c9e"),
    "calln": ("Calln", "#1f6f54"),
    "coturn": ("coturn", "#b9a36b"),
    "bounce": ("only sent back", "#999999"),
}
TWO, FOUR = ("calln", "coturn"), tuple(SERVERS)
WIDTH, MARGIN = 0.76, 0.8  # of all bars of a group; beside the outer groups
SIZE = (7.0, 3.2)  # inches

Rows = Mapping[str, Mapping[str, list[float]]]


class Bars(NamedTuple):
    """One group of bars: what stands below it, and the row of the bench."""

    label: str
    row: str


class Plot(NamedTuple):
    """One picture: its file's name, its title, what the bars count, and its groups."""

    name: str
    title: str
    unit: str
    bars: tuple[Bars, ...]
    servers: tuple[str, ...] = TWO


CLIENTS = ("10", "100", "1,000", "4,000")
SHAPES = ("10,000/s one by one", "40,000/s in twos", "100,000/s in fours", "overload")
PLOTS = (
    Plot(
        "performance-packets",
        "Packets a second under overload, one core",
        "packets a second (more is better)",
        (
            *(Bars(f"{count} clients", f"{count} clients: packets/s under overload") for count in CLIENTS),
            Bars("100 calls,\ngate on", "100 encrypted calls, gate on: packets/s under overload"),
        ),
    ),
    Plot(
        "performance-cpu",
        "What a packet costs the relay",
        "ns of CPU time (less is better)",
        (
            Bars("100 clients,\noverload", "100 clients: CPU ns for a packet under overload"),
            Bars("100 clients,\n10,000 a second", "100 clients: CPU ns for a packet at 10,000/s"),
            Bars("100 clients,\nTCP, overload", "100 clients, TCP: CPU ns for a packet under overload"),
            Bars("100 clients,\nTLS, overload", "100 clients, TLS: CPU ns for a packet under overload"),
        ),
    ),
    Plot(
        "performance-delay",
        "Delay through the relay at 40,000 packets a second",
        "µs (less is better)",
        (
            Bars("half of them\nare faster", "half load: p50 of the delay, µs"),
            Bars("99 of 100\nare faster", "half load: p99 of the delay, µs"),
        ),
    ),
    Plot(
        "performance-memory",
        "Memory for each allocation, 4,000 allocations with a channel",
        "bytes (less is better)",
        (Bars("", "4,000 allocations: bytes for each"),),
    ),
    Plot(
        "performance-frames",
        "What a call's packet costs",
        "ns of CPU time (less is better)",
        tuple(
            Bars(words.replace(" ", "\n", 1), f"ChannelData, {words}: CPU ns for a packet")
            for words in SHAPES
        ),
        FOUR,
    ),
)


def digest(figures: bytes) -> str:
    """What a picture says about the figures it was drawn from."""
    return f"performance.json {hashlib.sha256(figures).hexdigest()[:16]}"


def draw(plot: Plot, rows: Rows, source: str, folder: Path) -> Path:
    """One picture. Raises KeyError for a row that was not measured."""
    path = folder / f"{plot.name}.svg"
    with rc_context({"svg.hashsalt": "calln", "svg.fonttype": "none", "font.size": 9}):  # the same each time
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        for number, server in enumerate(plot.servers):
            place = (number + 0.5) / len(plot.servers) - 0.5
            values = [rows[bars.row][server] for bars in plot.bars]
            draw_bars(axes, server, WIDTH * place, WIDTH / len(plot.servers), values)
        explain(axes, plot)
        figure.savefig(path, format="svg", metadata={"Date": None, "Source": source})
    return path


def draw_bars(axes: Axes, server: str, place: float, width: float, values: list[list[float]]) -> None:
    """One server's bar in each group; `place` is from the group's middle to its own."""
    label, colour = SERVERS[server]
    middles = [statistics.median(one) for one in values]
    below = [middle - min(one) for middle, one in zip(middles, values, strict=True)]
    above = [max(one) - middle for middle, one in zip(middles, values, strict=True)]
    places = [index + place for index in range(len(values))]
    axes.bar(places, middles, width, yerr=[below, above], label=label, color=colour, ecolor="#444444")


def explain(axes: Axes, plot: Plot) -> None:
    axes.set_xticks(range(len(plot.bars)), [bars.label for bars in plot.bars])
    axes.set_xlim(-MARGIN, len(plot.bars) - 1 + MARGIN)
    axes.set_title(plot.title, loc="left")
    axes.set_ylabel(plot.unit)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0.1)


def table(rows: Rows) -> Iterator[str]:
    """All rows as Markdown: both medians, their ratio, and what the ratios of the rounds spread over."""
    yield "| what was measured | Calln | coturn | Calln / coturn | of the rounds |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for row, values in rows.items():
        ours, theirs = values["calln"], values["coturn"]
        medians = statistics.median(ours), statistics.median(theirs)
        ratios = [ratio(*pair) for pair in zip(ours, theirs, strict=True)]
        digits = 0 if max(medians) >= 10 else 2  # as the bench prints them
        cells = (*(f"{median:,.{digits}f}" for median in medians), f"{ratio(*medians):.2f}")
        yield f"| {row} | {' | '.join(cells)} | {min(ratios):.2f} to {max(ratios):.2f} |"


def frames_table(rows: Rows) -> Iterator[str]:
    """The same of the rows of frames: the medians of all, and what the kernel's is of the last two."""
    heads = (*(SERVERS[name][0] for name in FOUR), "/ coturn", "/ only sent back")
    yield f"| what was measured | {' | '.join(heads)} |"
    yield "| --- |" + " ---: |" * 6
    for row, values in rows.items():
        medians = {name: statistics.median(values[name]) for name in FOUR if name in values}
        digits = 0 if max(medians.values()) >= 10 else 2
        cells = [f"{medians[name]:,.{digits}f}" if name in medians else "" for name in FOUR]
        ratios = [ratio_to(medians, name) for name in ("coturn", "bounce")]
        yield f"| {row} | {' | '.join((*cells, *ratios))} |"


def ratio_to(medians: Mapping[str, float], name: str) -> str:
    """Nothing where there is nothing to compare."""
    return f"{medians['kernel'] / medians[name]:.2f}" if medians.get(name) else ""


def conditions(run: Mapping[str, Any], rows: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Of the latest run; rows that it did not measure are kept from runs before."""
    rounds = {len(values) for row in rows.values() for values in row.values()}
    return (
        f"Linux {run['linux']}, Python {run['python']}, coturn {run['coturn']}, {run['cores']} cores. Load "
        f"average {run['load']} at the start of the latest run, rounds of {run['seconds']:g} s. Medians of "
        f"{' or '.join(map(str, sorted(rounds)))} rounds."
    )


def main() -> None:
    data = FIGURES.read_bytes()
    kept = json.loads(data)
    frames = kept["frames"]
    for plot in PLOTS:
        print(draw(plot, {**kept["rows"], **frames["rows"]}, digest(data), DOCS))
    text = DOCUMENT.read_text("utf-8")
    for by, part, lines in ((BY, kept, table), (FRAMES_BY, frames, frames_table)):
        text = rewritten(
            text, by, "\n".join((conditions(part["run"], part["rows"]), "", *lines(part["rows"])))
        )
    DOCUMENT.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
