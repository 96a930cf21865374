"""Numbers, and nobody in them."""

from __future__ import annotations

import re

import httpx

from server.signalling.effects import CallEnded, CountEvent
from server.web.metrics import COUNTERS, ServerMetrics
from tests.server.serving import Service
from tests.server.signalling.descriptions import sdp


def test_each_event_has_its_counter() -> None:
    metrics = ServerMetrics()
    for name, (metric, _, label) in COUNTERS.items():
        for _ in range(2):
            metrics.record(CountEvent(name, "x" if label else ""))
        shown = f'{metric}{{{label}="x"}} 2.0' if label else f"{metric} 2.0"
        assert shown in metrics.expose().decode()


def test_times_and_gauges() -> None:
    metrics = ServerMetrics()
    metrics.record(CallEnded(42.0))
    metrics.record(CountEvent("wait", value=3.0))
    metrics.add_gauge("calln_test", "A test.", lambda: 7)
    page = metrics.expose().decode()
    for line in ("calln_call_seconds_sum 42.0", "calln_wait_seconds_count 1.0", "calln_test 7.0"):
        assert line in page


async def test_a_visit_is_counted_and_nobody_is_named(service: Service) -> None:
    one, other = await service.couple()
    await one.tell("offer", sdp=sdp())
    await one.tell("connected", path="relay")
    await one.say("stop")
    await other.connection.send("{")
    while "bad_json" not in str(other.heard):
        await other.next()
    transport = httpx.AsyncHTTPTransport(uds=str(service.folder / "server.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        page = (await client.get("/metrics")).text
    for line in (
        'calln_visitors_total{country="unknown"} 2.0',
        'calln_matches_total{paths="any"} 1.0',
        'calln_connected_total{path="relay"} 1.0',
        'calln_ended_total{reason="left"} 1.0',
        'calln_messages_total{type="offer"} 1.0',
        'calln_refused_total{code="bad_json"} 1.0',
        "calln_sockets 2.0",
        "calln_rooms 0.0",
    ):
        assert line in page
    assert not re.search(r"127\.0\.0\.[23]", page)
    for secret in (one.token, one.secret, one.call):
        assert secret not in page
