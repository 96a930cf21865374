"""What an operator can count in a relay: figures by transport, address family and reason, never by person.

They are computed when somebody asks, so that they cost a packet nothing. The engine has the figures of living
flows; those of ended flows are added up here, so that no total ever falls.
"""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from turn.core.relay import Relay
from turn.engines import Engine
from turn.flows import Address, Flow, Traffic
from turn.gate.rules import PASSING

NOTHING = Traffic()
FAMILIES = {4: "ipv4", 16: "ipv6"}
PATH = ("transport", "family")

# First part of a name that the core counts -> metric, its help text, the label that the second part is for.
COUNTED = {
    "drops": ("calln_relay_drops", "Packets that went nowhere, by reason.", "reason"),
    "refusals": ("calln_relay_refusals", "Requests that were refused, by code.", "code"),
    "replies": ("calln_relay_replies", "Requests that were granted, by kind.", "kind"),
    "events": ("calln_relay_events", "What else is worth a count.", "event"),
}

# What servers have told and holds now -> metric, its help text.
TOLD = {
    "servers": ("calln_relay_servers", "Servers of ours that have spoken in the last 90 seconds."),
    "vouched": ("calln_relay_vouched_sessions", "Sessions that may have started elsewhere, a server says."),
    "ended": ("calln_relay_ended_users", "Users that have ended, a server says, and get nothing more."),
    "bans": ("calln_relay_banned_networks", "Networks whose clients are refused."),
}

# Field of Traffic -> metric, direction.
CARRIED = {
    "packets_out": ("calln_relay_packets", "to_peer"),
    "packets_in": ("calln_relay_packets", "to_client"),
    "bytes_out": ("calln_relay_bytes", "to_peer"),
    "bytes_in": ("calln_relay_bytes", "to_client"),
}
SENTENCES = {
    "calln_relay_packets": "Packets that linked flows carried.",
    "calln_relay_bytes": "Bytes of data that linked flows carried, without frames and headers.",
}


Kind = tuple[str, int]  # transport of the client, and length of the relayed address in bytes


def kind_of(client: Address, relay: Address) -> Kind:
    return client.transport, len(relay.ip)


def labels(kind: Kind) -> tuple[str, str]:
    return kind[0], FAMILIES[kind[1]]


class TrafficTotals:
    """What all flows have carried, also those that have ended."""

    def __init__(self, live: Mapping[Flow, Traffic]) -> None:
        self._live = live
        self._past: dict[Kind, Traffic] = {}

    def add_ended(self, flow: Flow, traffic: Traffic) -> None:
        """A flow has ended, and this is all that it carried."""
        kind = kind_of(flow.client, flow.relay)
        self._past[kind] = summed([self._past.get(kind, NOTHING), traffic])

    def totals(self) -> dict[Kind, Traffic]:
        rows = {kind: [traffic] for kind, traffic in self._past.items()}
        for flow, traffic in self._live.items():
            rows.setdefault((flow.client.transport, len(flow.relay.ip)), []).append(traffic)
        return {kind: summed(traffics) for kind, traffics in rows.items()}


def summed(traffics: Iterable[Traffic]) -> Traffic:
    return Traffic(*map(sum, zip(*traffics, strict=True)))


class Measured(Protocol):
    """What is counted of a relay at work."""

    relay: Relay
    engine: Engine
    totals: TrafficTotals
    punted: Counter[Kind]
    mishaps: int
    draining: bool

    def counts(self) -> Mapping[str, int]: ...
    def connections_refused(self) -> Mapping[str, int]: ...


class MetricsPage(Collector):
    """Figures in a registry of their own, for Prometheus and for the terminal."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def figures(self) -> list[dict[str, object]]:
        """For a terminal, without those of the process."""
        return [
            {"name": sample.name, "labels": sample.labels, "value": sample.value}
            for family in self.collect()
            for sample in family.samples
        ]


class RelayMetrics(MetricsPage):
    """The figures of the relay in this process."""

    def __init__(self, service: Measured) -> None:
        self.service = service
        super().__init__()

    def collect(self) -> Iterator[Metric]:
        service = self.service
        yield from living_metrics(service.relay)
        yield from traffic_metrics(service.totals.totals())
        yield rode_metric(service.engine.rode())
        yield punted_metric(service.punted)
        yield from count_metrics(service.counts())
        yield gate_metric(service.relay.gate_counts)
        yield from told_metrics(service.relay.told_counts(time.monotonic()))
        yield refused_metric(service.connections_refused())
        yield CounterMetricFamily(
            "calln_relay_mishaps", "Packets that met a mistake of ours.", value=service.mishaps
        )
        yield GaugeMetricFamily(
            "calln_relay_draining", "1 while nobody new is taken.", value=int(service.draining)
        )
        yield from files_allowed()
        engine = GaugeMetricFamily(
            "calln_relay_engine", "What moves the packets.", labels=("engine", "reason")
        )
        engine.add_metric((service.engine.name, service.engine.reason), 1)
        yield engine


def files_allowed() -> Iterator[Metric]:
    """Nothing if there is no limit."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        yield GaugeMetricFamily(
            "calln_relay_files_allowed", "Files and sockets that may be open.", value=most
        )


def living_metrics(relay: Relay) -> Iterator[Metric]:
    """Allocations and flows of now."""
    allocations, flows = Counter[Kind](), Counter[Kind]()
    for session in relay.sessions(time.monotonic()):
        kind = kind_of(session.client, session.relay)
        allocations[kind] += 1
        flows[kind] += session.flows
    for name, text, counts in (
        ("calln_relay_allocations", "Allocations that live.", allocations),
        ("calln_relay_flows", "Flows that the engine carries without asking.", flows),
    ):
        family = GaugeMetricFamily(name, text, labels=PATH)
        for kind, number in counts.items():
            family.add_metric(labels(kind), number)
        yield family


def traffic_metrics(totals: Mapping[Kind, Traffic]) -> Iterator[Metric]:
    families = {
        name: CounterMetricFamily(name, text, labels=(*PATH, "direction")) for name, text in SENTENCES.items()
    }
    limited = CounterMetricFamily(
        "calln_relay_limited_packets", "Packets beyond their allocation's limits.", labels=PATH
    )
    for kind, traffic in totals.items():
        for field, (name, direction) in CARRIED.items():
            families[name].add_metric((*labels(kind), direction), getattr(traffic, field))
        limited.add_metric(labels(kind), traffic.dropped)
    yield from (*families.values(), limited)


def rode_metric(count: int) -> Metric:
    return CounterMetricFamily(
        "calln_relay_packets_in_kernel",
        "Packets of calln_relay_packets that rode in the kernel, past this process.",
        value=count,
    )


def punted_metric(counts: Mapping[Kind, int]) -> Metric:
    family = CounterMetricFamily(
        "calln_relay_punted_packets", "Packets that no flow claimed, each looked at in full.", labels=PATH
    )
    for kind, number in counts.items():
        family.add_metric(labels(kind), number)
    return family


def gate_metric(counts: Mapping[tuple[str, str], int]) -> Metric:
    family = CounterMetricFamily(
        "calln_relay_gate_packets",
        "Packets that were asked whether they are encrypted, by the rule that held, what it says and why. "
        "Where it only observes, refused ones pass.",
        labels=("rule", "verdict", "reason"),
    )
    for (rule, reason), number in counts.items():
        family.add_metric((rule, "passed" if reason in PASSING else "refused", reason), number)
    return family


def told_metrics(counts: Mapping[str, int]) -> Iterator[Metric]:
    for key, (name, text) in TOLD.items():
        yield GaugeMetricFamily(name, text, value=counts[key])


def refused_metric(counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(
        "calln_relay_refused_connections", "Connections not let in, by limit.", labels=("limit",)
    )
    for limit, number in counts.items():
        family.add_metric((limit,), number)
    return family


def count_metrics(counts: Mapping[str, int]) -> Iterator[Metric]:
    families = {
        head: CounterMetricFamily(name, text, labels=(label,))
        for head, (name, text, label) in COUNTED.items()
    }
    for key, number in counts.items():
        head, _, label = key.rpartition(".")
        families.get(head, families["events"]).add_metric((label,), number)
    yield from families.values()
