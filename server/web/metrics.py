"""Metrics for the operator: how much happens, never who does it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from server.signalling.effects import CallEnded, CountEvent

SECONDS = (1, 5, 15, 60, 300, 900, 3600)

# Event -> name, help text and label of its counter.
COUNTERS = {
    "visitor": ("calln_visitors_total", "Pages that said hello, by country.", "country"),
    "resumed": ("calln_resumed_total", "Lost sockets that came back.", ""),
    "restored": ("calln_restored_total", "Pages that came back into a call of a server that crashed.", ""),
    "match": ("calln_matches_total", "Pairs that were matched, by the paths they may use.", "paths"),
    "connected": ("calln_connected_total", "Visitors whose call was connected, by path.", "path"),
    "ended": ("calln_ended_total", "Calls that ended, by reason.", "reason"),
    "block": ("calln_blocks_total", "Partners that were blocked.", ""),
    "report": ("calln_reports_total", "Partners that were reported, by reason.", "reason"),
    "message": ("calln_messages_total", "Messages from browsers, by type.", "type"),
    "refused": ("calln_refused_total", "Messages that were refused, by code.", "code"),
    "closed": ("calln_closed_total", "Sockets that the server closed, by code.", "code"),
    "connection": (
        "calln_connections_total",
        "TLS connections, by what became of them; and any connections and requests that a limit refused.",
        "kind",
    ),
    "ice": (
        "calln_ice_answers_total",
        "Answers to other web applications at /ice, by HTTP status.",
        "status",
    ),
    "failure": ("calln_failures_total", "Errors of the server itself.", ""),
}


class ServerMetrics:
    """Counters, gauges and histograms in a registry of their own: nothing else is shown."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.counters = {
            name: Counter(metric, text, (label,) if label else (), registry=self.registry)
            for name, (metric, text, label) in COUNTERS.items()
        }
        self.waits = Histogram(
            "calln_wait_seconds", "How long visitors waited.", buckets=SECONDS, registry=self.registry
        )
        self.calls = Histogram(
            "calln_call_seconds", "How long calls were.", buckets=SECONDS, registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        self.children: dict[tuple[str, str], Counter] = {}

    def add_gauge(self, name: str, text: str, ask: Callable[[], float]) -> None:
        """A gauge that calls `ask` whenever the metrics are read."""
        Gauge(name, text, registry=self.registry).set_function(ask)

    def increment(self, name: str, label: str = "") -> None:
        child = self.children.get((name, label))
        if child is None:
            counter = self.counters[name]
            child = self.children[name, label] = counter.labels(label) if COUNTERS[name][2] else counter
        child.inc()

    def record(self, event: CountEvent | CallEnded) -> None:
        """Count an effect of the lobby."""
        if isinstance(event, CallEnded):
            self.calls.observe(event.seconds)
        elif event.name == "wait":
            self.waits.observe(event.value)
        else:
            self.increment(event.name, event.label)

    def expose(self) -> bytes:
        return generate_latest(self.registry)
