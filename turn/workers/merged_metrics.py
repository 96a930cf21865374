"""The figures of several processes as one: they are added up name by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client.core import Metric

from turn.service.metrics import TOLD, MetricsPage

# Not added up, the highest counts: 1 if it is true of one process, and what is the same for all.
HIGHEST = (
    *("calln_relay_draining", "calln_relay_engine", "calln_relay_files_allowed"),
    *(name for name, _ in TOLD.values()),
)

Sample = tuple[str, dict[str, str], float]  # name, labels, value


class Figure(NamedTuple):
    """A metric with its samples, in a form that JSON can carry."""

    name: str
    sentence: str
    kind: str
    samples: Sequence[Sample]


def figures_of(shown: Iterable[Metric]) -> list[Figure]:
    return [
        Figure(
            metric.name,
            metric.documentation,
            metric.type,
            [(sample.name, dict(sample.labels), sample.value) for sample in metric.samples],
        )
        for metric in shown
    ]


def merged(parts: Iterable[Iterable[Figure]]) -> list[Figure]:
    """One figure for each name, with one sample for each set of labels."""
    found: dict[str, Figure] = {}
    totals: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for figure in (Figure(*figure) for part in parts for figure in part):
        found.setdefault(figure.name, figure)
        total = totals.setdefault(figure.name, {})
        for name, labels, value in figure.samples:
            key = (name, tuple(sorted(labels.items())))
            pair = (total.get(key, 0.0), value)
            total[key] = max(pair) if figure.name in HIGHEST else sum(pair)
    return [
        figure._replace(
            samples=[(name, dict(labels), value) for (name, labels), value in totals[title].items()]
        )
        for title, figure in found.items()
    ]


def counters(figures: Iterable[Figure]) -> list[Figure]:
    """What stays true of a process that has died, so that no total ever falls."""
    return [figure for figure in (Figure(*figure) for figure in figures) if figure.kind == "counter"]


class MergedMetrics(MetricsPage):
    """A page of figures that are merged already."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = figures
        super().__init__()

    def collect(self) -> Iterator[Metric]:
        for name, sentence, kind, samples in self._figures:
            metric = Metric(name, sentence, kind)
            for sample in samples:
                metric.add_sample(*sample)
            yield metric
