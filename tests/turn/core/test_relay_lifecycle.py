"""Any order of requests, packets and time: nothing leaks, and what an engine relies on always holds."""

from __future__ import annotations

from hypothesis import settings as effort
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.turn.network import LISTENER, LISTENER6, TYPES, Client, network, settings, unlimited
from turn.core.state import RelayState
from turn.flows import Address
from turn.limits.ledger import LocalLedger, LocalUsage
from turn.policies import Limits
from turn.wire.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    EVEN_PORT,
    LIFETIME,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
)

WHO = st.integers(0, 3)
PORTS = (50000, 50007)
LIMITS = Limits(allocations_per_user=3, new_peers_per_second=0, unauthenticated_per_second=0)
STRANGERS = [Address.of("9.9.9.9", 5000), Address.of("9.9.9.9", 5001), Address.of("2606:4700::9", 5000)]
OURS = [
    Address(listener.ip, port) for listener in (LISTENER, LISTENER6) for port in range(PORTS[0], PORTS[1] + 1)
]
PEERS = st.sampled_from(STRANGERS + OURS)
CHANNELS = st.integers(0x4000, 0x4003)


def held(state: RelayState) -> tuple[LocalUsage, LocalUsage]:
    ledger = state.settings.ledger
    assert isinstance(ledger, LocalLedger)
    return ledger.usage("users"), ledger.usage("addresses")


class Lifecycle(RuleBasedStateMachine):
    """The network itself asserts the engine's contract on every effect."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network(settings(ports=PORTS, limits=LIMITS))
        users = ("alice", "alice", "bob", "bob")
        self.clients = [Client(self.net, port=40000 + n, user=user) for n, user in enumerate(users)]
        self.token = bytes(8)

    @rule(who=WHO, pair=st.sampled_from([None, False, True]), lifetime=st.sampled_from([1, 700, 9999]))
    def allocate(self, who: int, pair: bool | None, lifetime: int) -> None:
        wish = [] if pair is None else [(EVEN_PORT, pair)]
        answer = self.clients[who].ask(
            TYPES["allocate"], (REQUESTED_TRANSPORT, 17), (LIFETIME, lifetime), *wish
        )
        assert answer is not None
        self.token = answer.get(RESERVATION_TOKEN) or self.token

    @rule(who=WHO)
    def allocate_both_families(self, who: int) -> None:
        wish = (ADDITIONAL_ADDRESS_FAMILY, 2)
        assert self.clients[who].code(TYPES["allocate"], (REQUESTED_TRANSPORT, 17), wish) in (
            0,
            437,
            486,
            508,
        )

    @rule(who=WHO)
    def allocate_reserved(self, who: int) -> None:
        wish = (RESERVATION_TOKEN, self.token)
        code = self.clients[who].code(TYPES["allocate"], (REQUESTED_TRANSPORT, 17), wish)
        assert code in (0, 437, 508)

    @rule(who=WHO, lifetime=st.sampled_from([0, 600, 3600]))
    def refresh(self, who: int, lifetime: int) -> None:
        assert self.clients[who].refresh(lifetime) in (0, 437)

    @rule(who=WHO, lifetime=st.sampled_from([0, 600]), family=st.sampled_from([1, 2]))
    def refresh_one_family(self, who: int, lifetime: int, family: int) -> None:
        pairs = ((LIFETIME, lifetime), (REQUESTED_ADDRESS_FAMILY, family))
        assert self.clients[who].code(TYPES["refresh"], *pairs) in (0, 437, 443)

    @rule(who=WHO, peer=PEERS)
    def permit(self, who: int, peer: Address) -> None:
        assert self.clients[who].permit(peer) in (0, 437, 443)

    @rule(who=WHO, number=CHANNELS, peer=PEERS)
    def bind(self, who: int, number: int, peer: Address) -> None:
        assert self.clients[who].bind(number, peer) in (0, 400, 403, 437, 443)

    @rule(who=WHO, peer=PEERS)
    def send(self, who: int, peer: Address) -> None:
        assert len(self.clients[who].send(peer, b"hi")) <= 1

    @rule(who=WHO, number=CHANNELS)
    def send_channel(self, who: int, number: int) -> None:
        assert len(self.clients[who].raw(number.to_bytes(2, "big") + b"\0\1x")) <= 1

    @rule(relay=st.sampled_from(OURS), peer=st.sampled_from(STRANGERS))
    def hear(self, relay: Address, peer: Address) -> None:
        assert len(self.net.deliver(relay, peer, b"hi")) <= 1

    @rule(relay=st.sampled_from(OURS), peer=st.sampled_from(STRANGERS), kind=st.integers(0, 12))
    def fail(self, relay: Address, peer: Address, kind: int) -> None:
        assert len(self.net.run(self.net.relay.icmp_error(relay, peer, kind, 4, bytes(4), self.net.now))) <= 1

    @rule(seconds=st.sampled_from([0.5, 30, 299, 301, 601]))
    def wait(self, seconds: float) -> None:
        assert self.net.pass_time(seconds) == []

    @rule(port=st.sampled_from(OURS))
    def another_program_comes_and_goes(self, port: Address) -> None:
        self.net.foreign ^= {port} - self.net.open

    @invariant()
    def ports_flows_and_counts_agree(self) -> None:
        state = self.net.relay._state
        live = {session.relay for session in self.net.relay.sessions(self.net.now)}
        assert live <= self.net.open
        assert len(self.net.open) == len(live) + len(state.reservations) == state.quota.total
        assert [sum(counts.values()) for counts in held(state)] == [state.quota.total] * 2
        assert not state.pending_ports
        assert not state.allocating
        assert self.net.links == {
            link.flow: link.rule for allocation in state.allocations for link in allocation.links.values()
        }
        for allocation in state.allocations:
            assert all(one.sibling in (None, allocation) for one in allocation.both if one is not allocation)
            assert state.allocations.of_client(allocation.client, allocation.listener) in allocation.both
        for flow in self.net.links:
            allocation = state.allocations.by_relay[flow.relay]
            assert allocation.permits(flow.peer.ip, self.net.now)
            assert flow.channel is None or allocation.channels[flow.channel].peer == flow.peer

    def teardown(self) -> None:
        self.net.pass_time(4000)
        state = self.net.relay._state
        assert (self.net.open, self.net.links, state.quota.total, len(state.allocations)) == (set(), {}, 0, 0)
        assert (self.net.relay.next_expiry(), state.allocations._linked_to) == (None, {})
        assert held(state) == ({}, {})


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = effort(max_examples=80, stateful_step_count=40, deadline=None)


def test_a_client_that_never_rests_grows_no_heap() -> None:
    """Making and dropping allocations and channels a thousand times leaves the heap small."""
    net = network(unlimited())
    for turn in range(1500):
        client = Client(net, port=40000 + turn % 100)
        client.allocate()
        client.bind(0x4000 + turn % 16, STRANGERS[turn % 3])
        client.refresh(3600 if turn % 2 else 600)
        assert client.refresh(0) == 0
    deadlines = net.relay._state.allocations._deadlines
    assert (len(deadlines), len(net.open)) == (0, 0)
    assert len(deadlines._heap) <= 64 + 2
