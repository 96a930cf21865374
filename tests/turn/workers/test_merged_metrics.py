"""Figures of several processes, as one page."""

from __future__ import annotations

import json

from tests.turn.service.caller import Caller
from tests.turn.service.running import ALICE, Running
from turn.service.metrics import TOLD, RelayMetrics
from turn.workers.merged_metrics import Figure, MergedMetrics, counters, figures_of, merged

LIVE = Figure("calln_relay_allocations", "Live.", "gauge", [("calln_relay_allocations", {"f": "4"}, 2.0)])
DROPS = Figure(
    "calln_relay_drops",
    "Dropped.",
    "counter",
    [("calln_relay_drops_total", {"reason": "a"}, 3.0), ("calln_relay_drops_total", {"reason": "b"}, 1.0)],
)
ENGINE = Figure("calln_relay_engine", "Which.", "gauge", [("calln_relay_engine", {"engine": "x"}, 1.0)])


def draining(value: float) -> Figure:
    return Figure("calln_relay_draining", "Ends.", "gauge", [("calln_relay_draining", {}, value)])


def values(figures: list[Figure]) -> dict[tuple[str, ...], float]:
    return {(name, *labels.values()): value for figure in figures for name, labels, value in figure.samples}


def test_numbers_are_added_and_states_are_not() -> None:
    other = [DROPS._replace(samples=[("calln_relay_drops_total", {"reason": "b"}, 5.0)]), draining(1.0)]
    told = json.loads(json.dumps([[LIVE, DROPS, ENGINE, draining(0.0)], [LIVE, ENGINE], other]))
    assert values(merged(told)) == {
        ("calln_relay_allocations", "4"): 4.0,
        ("calln_relay_drops_total", "a"): 3.0,
        ("calln_relay_drops_total", "b"): 6.0,
        ("calln_relay_engine", "x"): 1.0,
        ("calln_relay_draining",): 1.0,
    }


def test_what_servers_have_told_all_processes_is_not_added() -> None:
    for name, _ in TOLD.values():
        figure = Figure(name, "Told.", "gauge", [(name, {}, 3.0)])
        assert values(merged([[figure], [figure]])) == {(name,): 3.0}


def test_of_the_dead_the_counters_stay() -> None:
    assert [figure.name for figure in counters([LIVE, DROPS, ENGINE])] == ["calln_relay_drops"]


async def test_the_page_is_the_one_of_a_single_process() -> None:
    async with Running() as world:
        metrics = RelayMetrics(world.service)
        await Caller(world, *ALICE).allocate()
        alone = MergedMetrics(merged([figures_of(metrics.collect())]))
        assert relays(alone.exposition()) == relays(metrics.exposition())
        assert alone.figures() == metrics.figures()
        twice = MergedMetrics(merged([figures_of(metrics.collect())] * 2))
    assert b'calln_relay_allocations{family="ipv4",transport="udp"} 2.0' in twice.exposition()
    assert b'calln_relay_refusals_total{code="401"} 2.0' in twice.exposition()


def relays(page: bytes) -> list[bytes]:
    """Lines of our own figures, in any order of labels' first appearance."""
    return sorted(line for line in page.splitlines() if b"calln_relay" in line)
