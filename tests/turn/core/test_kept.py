"""A process dies, and the next one goes on with all that clients have; what does not fit any more ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.call import VOICE, rtp
from tests.turn.core.kept import Mortal
from tests.turn.core.relayed import CHANNEL, Relayed
from tests.turn.network import LISTENER, PEER, TYPES, Client, Network, network, settings, unlimited
from turn.core.allocate import MAX_LIFETIME
from turn.core.allocations import CHANNEL_LIFETIME, PERMISSION_LIFETIME, Channel
from turn.core.kept import KeptAllocation
from turn.core.relay import Settings
from turn.flows import Address
from turn.gate.pairs import CONSENT
from turn.policies import Accounts, Limits, PeerTable, networks
from turn.wire.attributes import LIFETIME
from turn.wire.srtp import SAMPLE

OTHER = Address.of("9.9.9.10", 5001)
CHOICES = (PEER, OTHER, PEER._replace(port=5002))


def begun(given: Settings | None = None) -> tuple[Network, Client, Mortal]:
    given = given or settings()
    net = network(given)
    mortal = Mortal(net, given)
    client = Client(net)
    client.allocate()
    return net, client, mortal


def test_the_next_one_has_ports_permissions_channels_and_the_key_of_nonces() -> None:
    net, client, mortal = begun()
    assert client.permit(OTHER) == client.bind(CHANNEL, PEER) == 0
    nonce, relay, links = client.nonce, client.relay, dict(net.links)
    assert links
    assert relay is not None
    mortal.die()
    assert (net.open, net.links) == ({relay}, links)
    assert client.refresh(600) == 0
    assert client.nonce == nonce  # nobody had to fetch another one
    assert client.permit(OTHER) == client.bind(CHANNEL, PEER) == 0
    [heard] = net.deliver(relay, PEER, b"hello")
    assert (heard.remote, heard.data[4:]) == (client.address, b"hello")
    assert client.code(TYPES["allocate"], (0x0019, 17)) == 437
    assert net.relay.counts["allocations restored"] == 1
    assert client.refresh(0) == 0
    assert not net.open
    assert not mortal.net.pinned


def test_an_answer_that_was_lost_with_the_process_is_said_again() -> None:
    net, client, mortal = begun()
    client.refresh(0)
    request = client.sign(TYPES["allocate"], ((0x0019, 17),), transaction=b"t" * 12)
    [answer] = client.raw(request)
    mortal.die()
    assert client.raw(request) == [answer]
    assert len(net.open) == 1


def test_flows_by_indications_go_on() -> None:
    net, client, mortal = begun()
    client.permit(PEER)
    assert client.send(PEER, b"first")
    links = dict(net.links)
    assert links
    mortal.die()
    assert net.links == links


def test_two_clients_of_this_relay_go_on_with_each_other() -> None:
    net, client, mortal = begun(settings(peers=PeerTable(networks("192.0.2.0/24"))))
    other = Client(net, "8.8.4.4")
    relays = client.relay, other.allocate()
    for one, there in zip((client, other), reversed(relays), strict=True):
        assert there is not None
        assert one.bind(CHANNEL, there) == 0
    links = dict(net.links)
    assert len(links) == 2
    mortal.die()
    assert net.links == links


def test_both_families_of_one_client_stay_siblings() -> None:
    given = settings()
    net = network(given)
    mortal, client = Mortal(net, given), Client(net)
    client.allocate((0x8000, 2))
    assert len(net.open) == 2
    mortal.die()
    assert len(net.open) == 2
    assert client.refresh(0) == 0
    assert not net.open


def test_times_go_on_and_what_is_over_meanwhile_ends() -> None:
    net, client, mortal = begun()
    client.permit(PEER)
    mortal.die(seconds=PERMISSION_LIFETIME + 1)
    [row] = net.relay.sessions(net.now)
    assert (row.permissions, row.seconds_left) == (0, 600 - PERMISSION_LIFETIME - 1)
    mortal.die(seconds=300.0)
    assert not list(net.relay.sessions(net.now))
    assert not net.open
    assert client.refresh(600) == 437


def test_what_is_counted_is_counted_again() -> None:
    given = settings(limits=Limits(allocations_per_user=1))
    net, _, mortal = begun(given)
    mortal.die()
    assert Client(net, "8.8.4.4").code(TYPES["allocate"], (0x0019, 17)) == 486


CHANGED: dict[str, dict[str, Any]] = {
    "its user is gone": {"users": Accounts({"bob": "bob's word"})},
    "another password": {"users": Accounts({"alice": "a new word"})},
    "its listener is gone": {"listeners": frozenset((LISTENER._replace(port=3479),))},
}


@pytest.mark.parametrize("changed", CHANGED)
def test_what_the_configuration_does_not_allow_any_more_ends(changed: str) -> None:
    net, _, mortal = begun()
    mortal.die(settings(**CHANGED[changed]))
    assert not net.open
    assert not list(net.relay.sessions(net.now))


def test_a_peer_that_is_denied_now_loses_its_permission() -> None:
    net, client, mortal = begun()
    client.bind(CHANNEL, PEER)
    client.permit(OTHER)
    mortal.die(settings(peers=PeerTable(deny=networks("9.9.9.9/32"))))
    [row] = net.relay.sessions(net.now)
    assert (row.permissions, row.flows) == (1, 0)


def test_a_port_that_another_program_took_ends_the_allocation() -> None:
    net, client, mortal = begun()
    assert client.relay is not None
    net.foreign.add(client.relay)
    mortal.die()
    assert not net.open
    assert net.relay.counts["allocations not restored"] == 1
    assert client.allocate() not in net.foreign


def test_clients_of_tcp_are_not_kept() -> None:
    given = settings(listeners=frozenset((LISTENER._replace(transport="tcp"),)))
    net = network(given)
    mortal = Mortal(net, given)
    client = Client(net, listener=LISTENER._replace(transport="tcp"))
    client.allocate()
    client.permit(PEER)
    mortal.die()
    assert not net.open


def test_media_go_on_at_once_and_consent_ends_in_time() -> None:
    given = unlimited(encrypted_only="enforce")
    net = network(given)
    mortal = Mortal(net, given)
    call = Relayed(net, Client(net), CHANNEL)
    call.open()
    call.talk(SAMPLE)
    assert call.media() == [frozenset({VOICE})]
    mortal.die()
    assert call.media() == [frozenset({VOICE})]
    assert call.say(rtp(VOICE, 1)).passes
    net.pass_time(CONSENT)
    assert call.media() == []
    call.check()
    assert call.media() == [frozenset({VOICE})]


def one(**changes: Any) -> KeptAllocation:
    given: dict[str, Any] = {
        "client": Address.of("8.8.8.8", 40000),
        "listener": LISTENER,
        "relay": LISTENER._replace(port=50000),
        "username": "alice",
        "user": "alice",
        "key": b"k" * 16,
        "charged_ip": b"\x08\x08\x08\x08",
        "transaction": b"t" * 12,
        "ends": 600.0,
        **changes,
    }
    return KeptAllocation(**given)


SIX = Address.of("2606:4700::9", 5000)
ENDS = Channel(PEER, 500.0)
UNSOUND: list[dict[str, Any]] = [
    {"ends": 0.0},
    {"ends": MAX_LIFETIME + 1.0},
    {"channels": ((CHANNEL, Channel(SIX, 500.0)),)},
    {"channels": ((0x3FFF, ENDS),)},
    {"channels": ((CHANNEL, ENDS), (CHANNEL + 1, ENDS))},
    {"channels": ((CHANNEL, ENDS), (CHANNEL, Channel(OTHER, 500.0)))},
    {"permissions": ((SIX.ip, 100.0),)},
    {"sent_to": (SIX,)},
    {"sent_to": (PEER._replace(transport="tcp"),)},
    {"relay": LISTENER._replace(port=50000, transport="tcp")},
    {"client": Address.of("8.8.8.8", 40000, "tcp")},
]


@pytest.mark.parametrize("changes", UNSOUND)
def test_what_does_not_fit_together_is_left_out(changes: dict[str, Any]) -> None:
    net = network()
    assert net.relay.restore([one(**changes)], 0.0) == []
    assert net.relay.counts["allocations not restored"] == 1
    assert net.relay.restore([one()], 0.0) != []


@pytest.mark.parametrize(
    "second",
    [
        {},
        {"client": Address.of("8.8.8.8", 40001)},
        {"relay": LISTENER._replace(port=50001)},
        {"relay": Address.of("2001:db8:5::1", 50000), "username": "bob"},
    ],
)
def test_of_two_that_cannot_both_be_the_first_is_taken(second: dict[str, Any]) -> None:
    net = network(settings(users=Accounts({"alice": "alice's word"})))
    net.run(net.relay.restore([one()], 0.0))
    net.run(net.relay.restore([one(**second)], 0.0))
    assert [row.client.port for row in net.relay.sessions(0.0)] == [40000]


def test_times_that_nobody_can_have_been_given_are_left_out() -> None:
    net = network()
    late = CHANNEL_LIFETIME + 1
    kept = one(permissions=((PEER.ip, late),), channels=((CHANNEL, Channel(PEER, late)),))
    net.run(net.relay.restore([kept], 0.0))
    [row] = net.relay.sessions(0.0)
    assert (row.permissions, row.channels) == (0, 0)


STEPS = st.lists(
    st.tuples(st.sampled_from(("permit", "bind", "send", "refresh", "wait")), st.integers(0, 2)), max_size=12
)


@given(steps=STEPS)
def test_two_deaths_change_nothing(steps: list[tuple[str, int]]) -> None:
    """What the second process says is what the first one said."""
    net, client, mortal = begun(unlimited())
    for step, number in steps:
        peer = CHOICES[number]
        match step:
            case "permit":
                client.permit(peer)
            case "bind":
                client.bind(CHANNEL + number, peer)
            case "send":
                client.send(peer, b"x")
            case "refresh":
                client.code(TYPES["refresh"], (LIFETIME, 600 + number))
            case "wait":
                net.pass_time(100.0)
    mortal.note()
    before, links = dict(mortal.kept), dict(net.links)
    mortal.die(seconds=0.0)
    assert (mortal.kept, net.links) == (before, links)
