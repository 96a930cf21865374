"""Permissions, channels and flows, and how long each of them lives."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turn.network import LISTENER, PEER, TYPES, Client, Network, network, settings, unlimited
from turn.core.allocations import MAX_SENT_TO
from turn.core.effects import Close, Unlink, Unpin
from turn.core.relay import Relay
from turn.flows import Address, Rule
from turn.policies import Limits, PeerTable, networks


def prepared(**limits: Any) -> tuple[Network, Client]:
    net = network(settings(limits=Limits(**limits)) if limits else unlimited())
    client = Client(net)
    client.allocate()
    return net, client


def channels(net: Network) -> list[int | None]:
    return [flow.channel for flow in net.links]


def test_a_channel_is_a_flow_with_the_rule_of_the_limits() -> None:
    net, client = prepared(packets_per_second=7, bits_per_second=9)
    client.bind(0x4000, PEER)
    (flow,) = net.links
    assert (flow.client, flow.listener, flow.channel, flow.peer) == (
        client.address,
        client.listener,
        0x4000,
        PEER,
    )
    assert flow.relay == client.relay
    assert net.links[flow] == Rule(None, 7, 9)


def test_the_first_indication_links_and_a_channel_takes_over() -> None:
    net, client = prepared()
    client.permit(PEER)
    assert channels(net) == []
    assert len(client.send(PEER, b"hi")) == 1
    assert channels(net) == [None]
    client.bind(0x4000, PEER)
    assert channels(net) == [0x4000]
    client.send(PEER, b"hi")
    assert channels(net) == [0x4000]


def test_indications_to_a_relayed_address_behind_nat_are_linked_by_its_public_name() -> None:
    net = network(unlimited(externals={LISTENER.ip: Address.of("6.6.6.6", 0).ip}))
    one, two = Client(net), Client(net, port=40001)
    outer = one.allocate(), two.allocate()
    here, there = (address._replace(ip=LISTENER.ip) for address in outer)
    assert one.permit(outer[1]) == two.permit(outer[0]) == 0
    one.send(outer[1], b"hi")
    two.send(outer[0], b"hi")
    assert [(flow.relay, flow.peer, flow.shown) for flow in net.links] == [
        (here, there, outer[1]),
        (there, here, outer[0]),
    ]
    one.bind(0x4000, outer[1])
    assert {(flow.channel, flow.shown) for flow in net.links} == {(0x4000, None), (None, outer[0])}


def test_of_two_addresses_with_one_public_name_only_that_which_the_name_means_is_linked() -> None:
    public, other, meant = (Address.of(ip, 5000) for ip in ("6.6.6.6", "10.0.0.1", "10.0.0.2"))
    externals = {other.ip: public.ip, meant.ip: public.ip}
    net = network(unlimited(externals=externals, peers=PeerTable(allow=networks("10.0.0.0/8"))))
    client = Client(net)
    client.allocate()
    for named in (other, public):
        assert client.permit(named) == 0
        assert len(client.send(named, b"hi")) == 1
    assert [(flow.peer, flow.shown) for flow in net.links] == [(meant, public)]


def test_a_permission_ends_after_five_minutes_and_takes_its_flows_along() -> None:
    net, client = prepared()
    client.permit(PEER)
    client.send(PEER, b"hi")
    client.send(PEER._replace(port=6000), b"hi")
    assert len(net.links) == 2
    net.pass_time(299.9)
    assert len(net.links) == 2
    net.pass_time(0.1)
    assert channels(net) == []
    assert client.send(PEER, b"hi") == []
    client.permit(PEER)
    assert len(client.send(PEER, b"hi")) == 1
    assert channels(net) == [None]


def test_a_channel_keeps_its_peer_permitted_as_long_as_it_lives() -> None:
    """Clients that renew their channels only, every 500 seconds, lose nothing in an hour."""
    net, client = prepared()
    client.refresh(3600)
    client.bind(0x4000, PEER)
    assert client.relay is not None
    for second in range(1, 3600):
        net.pass_time(1)
        if second % 500 == 0:
            assert client.bind(0x4000, PEER) == 0
        assert len(client.raw(bytes.fromhex("4000 0001 68"))) == 1
        assert len(net.deliver(client.relay, PEER, b"answer")) == 1
        assert channels(net) == [0x4000]


def test_two_channels_to_one_machine_keep_it_permitted_until_the_later_one_ends() -> None:
    net, client = prepared()
    client.refresh(3600)
    client.bind(0x4000, PEER)
    net.pass_time(400)
    client.bind(0x4001, PEER._replace(port=6000))
    net.pass_time(200)
    assert channels(net) == [0x4001]
    net.pass_time(399.9)
    assert len(client.raw(bytes.fromhex("4001 0001 68"))) == 1
    net.pass_time(0.1)
    assert client.raw(bytes.fromhex("4001 0001 68")) == client.send(PEER, b"hi") == []


def test_a_request_for_a_permission_shortens_none() -> None:
    net, client = prepared()
    client.bind(0x4000, PEER)
    client.permit(PEER)
    net.pass_time(599.9)
    assert channels(net) == [0x4000]


def test_with_a_permission_the_peers_that_it_was_for_are_forgotten() -> None:
    net, client = prepared()
    client.permit(PEER)
    for number in range(MAX_SENT_TO):
        client.send(PEER._replace(port=6000 + number), b"hi")
    client.send(PEER, b"one too many")
    assert len(net.links) == MAX_SENT_TO
    net.pass_time(300)
    client.permit(PEER)
    client.send(PEER, b"one")
    assert [flow.peer for flow in net.links] == [PEER]


def test_only_requests_refresh_anything() -> None:
    net, client = prepared()
    client.refresh(3600)
    client.bind(0x4000, PEER)
    for _ in range(59):
        net.pass_time(10)
        assert len(client.raw(bytes.fromhex("4000 0001 68"))) == 1
        assert len(client.send(PEER, b"hi")) == 1
    net.pass_time(10)
    assert client.raw(bytes.fromhex("4000 0001 68")) == client.send(PEER, b"hi") == []


def test_a_channel_ends_after_ten_minutes_and_leaves_a_permission_that_was_renewed() -> None:
    net, client = prepared()
    client.refresh(3600)
    client.bind(0x4000, PEER)
    for _ in range(3):
        net.pass_time(199)
        client.permit(PEER)
    assert channels(net) == [0x4000]
    net.pass_time(3)
    assert channels(net) == []
    assert client.raw(bytes.fromhex("4000 0001 68")) == []
    assert len(client.send(PEER, b"hi")) == 1
    assert channels(net) == [None]
    assert client.bind(0x4001, PEER) == 0


def test_an_allocation_ends_with_all_that_it_had() -> None:
    net, client = prepared()
    client.bind(0x4000, PEER)
    net.pass_time(299)
    client.permit(PEER)
    net.pass_time(301)
    assert (net.open, net.links, net.relay.next_expiry()) == (set(), {}, None)
    assert client.code(TYPES["refresh"]) == 437
    client.allocate()


def test_each_flow_is_named_before_its_address_is_given_back() -> None:
    net, client = prepared()
    client.bind(0x4000, PEER)
    client.send(PEER._replace(port=6000), b"hi")
    flows = list(net.links)
    assert len(flows) == 2
    owner = flows[0].client, flows[0].listener
    assert list(net.relay.clients()) == [owner]
    assert net.relay.kill(user="alice") == [*map(Unlink, flows), Close(flows[0].relay), Unpin(*owner)]
    assert not list(net.relay.clients())


def test_refreshing_goes_on_for_ever() -> None:
    net, client = prepared()
    for _ in range(50):
        net.pass_time(599)
        assert client.refresh(600) == 0
    assert len(net.open) == 1


def test_there_are_only_so_many_of_each() -> None:
    net, client = prepared(new_peers_per_second=0, permissions=48, channels=20)
    peers = [Address.of(f"9.9.{n // 250}.{n % 250 + 1}", 5000) for n in range(49)]
    assert client.permit(*peers[:48]) == 0
    assert client.permit(peers[-1]) == 508
    assert client.permit(peers[0]) == 0
    for number in range(20):
        assert client.bind(0x4000 + number, peers[0]._replace(port=6000 + number)) == 0
    assert client.bind(0x5000, peers[0]) == 508
    for number in range(200):
        assert len(client.send(peers[1]._replace(port=6000 + number), b"hi")) == 1
    assert channels(net).count(None) == MAX_SENT_TO
    assert len(net.links) == 20 + MAX_SENT_TO


def test_new_peers_come_slowly() -> None:
    net, client = prepared(new_peers_per_second=5, channels=0)
    assert [client.permit(Address.of(f"9.9.8.{n}", 5000)) for n in range(1, 57)] == [0] * 56
    assert [client.bind(0x4000 + n, PEER._replace(port=100 + n)) for n in range(100)] == [0] * 100
    sent = [len(client.send(PEER._replace(port=1000 + n), b"hi")) for n in range(150)]
    assert sum(sent) == 100
    assert client.permit(Address.of("9.9.9.40", 5000)) == 508
    assert client.bind(0x5000, PEER._replace(port=99)) == 508
    net.pass_time(1)
    assert client.permit(Address.of("9.9.9.40", 5000)) == 0
    assert sum(len(client.send(PEER._replace(port=n), b"hi")) for n in range(2000, 2100)) == 4
    assert len(client.send(PEER._replace(port=1000), b"known already")) == 1


def test_a_new_allocation_meets_nobody_sooner() -> None:
    net, client = prepared(new_peers_per_second=5, permissions=0)
    spent = sum(client.permit(Address.of(f"9.9.{n // 200}.{n % 200 + 1}", 1)) == 0 for n in range(300))
    assert spent == 256
    assert client.refresh(0) == 0
    again = Client(net, port=40009)
    again.allocate()
    assert again.permit(PEER) == 508
    other = Client(net, port=40010, user="bob")
    other.allocate()
    assert other.permit(PEER) == 0


def test_a_request_that_is_too_much_installs_nothing() -> None:
    net, client = prepared(new_peers_per_second=5, channels=0)
    for n in range(250):
        client.bind(0x4000 + n, PEER._replace(port=100 + n))
    assert client.permit(*(Address.of(f"9.9.8.{k + 1}", 1) for k in range(9))) == 508
    (session,) = net.relay.sessions(net.now)
    assert session.permissions == 1


def test_flows_to_a_relayed_address_end_with_it() -> None:
    net = network(unlimited())
    alice, bob = Client(net), Client(net, port=40001, user="bob")
    a, b = alice.allocate(), bob.allocate()
    assert alice.bind(0x4000, b) == bob.bind(0x4000, a) == 0
    assert len(net.links) == 2
    assert bob.refresh(0) == 0
    assert net.links == {}
    assert alice.raw(bytes.fromhex("4000 0001 68")) == []
    assert alice.bind(0x4000, b) == 403


@pytest.mark.parametrize("by_channel", [True, False])
def test_and_begin_anew_where_the_port_is_given_out_again(by_channel: bool) -> None:
    net = network(unlimited(ports=(50000, 50001)))
    alice, bob = Client(net), Client(net, port=40001, user="bob")
    a, b = alice.allocate(), bob.allocate()
    alice.permit(b)
    if by_channel:
        alice.bind(0x4000, b)
    alice.send(b, b"x")
    bob.refresh(0)
    assert net.links == {}
    carol = Client(net, port=40002)
    assert carol.allocate() == b
    carol.permit(a)
    heard = alice.raw(bytes.fromhex("4000 0001 68")) if by_channel else alice.send(b, b"x")
    assert [packet.remote for packet in heard] == [carol.address]
    assert [flow.channel for flow in net.links] == [0x4000 if by_channel else None]


def test_flows_to_a_relayed_address_elsewhere_end_with_it() -> None:
    elsewhere = {Address(LISTENER.ip, 50001), Address(LISTENER.ip, 50003)}
    net = Network(Relay(unlimited(relayed_elsewhere=elsewhere)), elsewhere=elsewhere)
    client = Client(net)
    client.allocate()
    for number, peer in enumerate(sorted(elsewhere)):
        assert client.bind(0x4000 + number, peer) == 0
    client.bind(0x4002, PEER)
    assert net.relay.recheck(net.now) == []
    kept = elsewhere.pop()
    net.run(net.relay.recheck(net.now))
    assert {flow.peer for flow in net.links} == {PEER, *elsewhere}
    elsewhere.add(kept)
    client.send(kept, b"there again")
    assert {flow.peer for flow in net.links} == {PEER, *elsewhere}
    client.refresh(0)
    assert (net.relay.recheck(net.now), net.links) == ([], {})
