"""One limit for what the core and an engine carry together."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turn.network import PEER, Client, network, settings
from turn.flows import Address, Flow, Traffic
from turn.limits.pace import Pace
from turn.policies import Limits

FLOW = Flow(Address.of("8.8.8.8", 40000), Address.of("192.0.2.1", 3478), 0x4000, PEER, PEER)
STEPS = 200  # a second; divides what follows without a rest
SECONDS = 10


class Engine:
    """Carries by itself so many packets of 100 bytes a second."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.carried: dict[Flow, Traffic] = {FLOW: Traffic()}

    def at(self, now: float) -> dict[Flow, Traffic]:
        done = int(now * self.rate)
        self.carried[FLOW] = Traffic(done // 2, done // 2 * 100, done - done // 2, (done - done // 2) * 100)
        return self.carried


TOGETHER = [  # limits, what the engine carries in a second -> what the core may carry in a second
    ({"packets_per_second": 1000, "bits_per_second": 0}, 0, 1000),
    ({"packets_per_second": 1000, "bits_per_second": 0}, 400, 600),
    ({"packets_per_second": 1000, "bits_per_second": 0}, 1000, 0),
    ({"packets_per_second": 0, "bits_per_second": 800_000}, 0, 1000),
    ({"packets_per_second": 0, "bits_per_second": 800_000}, 400, 600),
    ({"packets_per_second": 0, "bits_per_second": 800_000}, 1000, 0),
    ({"packets_per_second": 1000, "bits_per_second": 400_000}, 100, 400),
]


@pytest.mark.parametrize(("limits", "engines", "left"), TOGETHER)
def test_both_together_stay_within_the_limits(limits: dict[str, Any], engines: int, left: int) -> None:
    pace, engine, taken = Pace(Limits(**limits)), Engine(engines), 0
    for step in range(SECONDS * STEPS):
        now = step / STEPS
        carried = engine.at(now)
        taken += sum(pace.spend(100, now, [FLOW], carried) for _ in range(10))
    assert left * SECONDS * 0.97 - 1 <= taken <= left * SECONDS + 1000 + 100


def test_what_was_long_ago_is_no_debt() -> None:
    pace, engine = Pace(Limits(packets_per_second=1000, bits_per_second=0)), Engine(500)
    assert pace.spend(100, 0.0, [FLOW], engine.at(0.0))
    assert sum(pace.spend(100, 3600.0, [FLOW], engine.at(3600.0)) for _ in range(2000)) == 500


def test_a_flow_that_is_over_is_no_gift() -> None:
    pace = Pace(Limits(packets_per_second=10, bits_per_second=0))
    carried = {FLOW: Traffic(packets_out=1000)}
    assert pace.spend(1, 0.0, [FLOW], carried)
    assert sum(pace.spend(1, 1.0, [], {}) for _ in range(50)) == 10
    assert sum(pace.spend(1, 1.5, [FLOW], {}) for _ in range(50)) == 5


def test_without_limits_nobody_looks() -> None:
    pace = Pace(Limits(packets_per_second=0, bits_per_second=0))
    assert all(pace.spend(65507, 0.0, [FLOW], {}) for _ in range(1000))


def test_the_flows_of_an_allocation_count_for_it() -> None:
    net = network(settings(limits=Limits(packets_per_second=10, bits_per_second=0)))
    carried: dict[Flow, Traffic] = {}
    net.relay.watch_traffic(carried)
    client = Client(net)
    client.allocate()
    client.bind(0x4000, PEER)
    other = PEER._replace(port=6000)
    assert sum(len(client.send(other, b"x")) for _ in range(50)) == 10
    carried |= {flow: Traffic(packets_out=5, packets_in=5) for flow in net.links if flow.channel}
    net.pass_time(1)
    assert [len(client.send(other, b"x")) for _ in range(50)].count(1) == 0
    net.pass_time(1)
    assert [len(client.send(other, b"x")) for _ in range(50)].count(1) == 10
