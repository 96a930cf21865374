"""One home network, or ten addresses, cannot use up the relay: a visitor elsewhere gets what it asks for."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.turn.network import LISTENER, LISTENER6, TYPES, Client, Network, compose, network
from tests.turn.network import settings as relay_settings
from turn.credentials import mint
from turn.policies import Accounts, Limits, networks
from turn.wire.attributes import REQUESTED_TRANSPORT

SECRET = b"a secret of ours"
UDP = (REQUESTED_TRANSPORT, 17)
HOUSEHOLDS = [f"2001:db8:bad:{number:x}::1" for number in range(0, 0x10000, 97)]
TEN = [f"7.7.7.{number}" for number in range(10)]
ELSEWHERE = ("8.8.8.8", "2001:db8:900d::7")


def client_of(net: Network, address: str, user: str, port: int = 40000) -> Client:
    """Somebody with a credential of our own."""
    username, password = mint(SECRET, user, int(net.wall) + 600)
    here = LISTENER6 if ":" in address else LISTENER
    return Client(net, address, port, listener=here, user=username, password=password)


def relay_of(**limits: object) -> Network:
    return network(relay_settings(users=Accounts({}, (SECRET,)), limits=Limits(**limits)))  # type: ignore[arg-type]


def assert_served(net: Network) -> None:
    for number, address in enumerate(ELSEWHERE):
        visitor = client_of(net, address, f"honest {number}", 50000)
        assert visitor.code(TYPES["allocate"], UDP) == 0


def hold_all(net: Network, addresses: list[str], tries: int) -> int:
    """Allocate from each address in turn, with a new user for every twenty; how many were got."""
    held = 0
    for number, address in zip(range(tries), cycle(addresses), strict=False):
        client = client_of(net, address, f"hostile {number // 20}", 1024 + number)
        held += client.code(TYPES["allocate"], UDP) == 0
        net.now += 0.02
    return held


@pytest.mark.parametrize(("addresses", "most"), [(HOUSEHOLDS, 400), (TEN, 2000)], ids=["a /48", "ten"])
def test_by_default_most_of_the_relay_is_left_to_others(addresses: list[str], most: int) -> None:
    net = relay_of()
    assert hold_all(net, addresses, most + 300) == most
    assert_served(net)


def test_a_48_and_ten_addresses_together_do_not_fill_it() -> None:
    net = relay_of(allocations_per_address=20, allocations=400)
    assert hold_all(net, HOUSEHOLDS, 200) == 40
    assert hold_all(net, TEN, 400) == 200
    assert_served(net)


def test_trusted_networks_are_not_counted() -> None:
    net = relay_of(allocations_per_address=2, trusted=networks("2001:db8:bad::/48"))
    assert hold_all(net, HOUSEHOLDS, 100) == 100


def test_ending_and_making_allocations_all_the_time_is_slowed_down_by_address_too() -> None:
    net = relay_of(allocations_per_address=12)
    made = 0
    for number in range(300):
        client = client_of(net, HOUSEHOLDS[number % 100], f"new {number}", 1024 + number)
        made += client.code(TYPES["allocate"], UDP) == 0
        client.refresh(0)
    assert made == 2 * 2 * 12
    assert net.relay.counts["allocations too often"] == 300 - made
    assert_served(net)
    net.now += 6.0
    assert client_of(net, HOUSEHOLDS[0], "later").code(TYPES["allocate"], UDP) == 0


acts = st.sampled_from(("allocate", "ask", "guess"))
hostile = st.sampled_from((*HOUSEHOLDS[:40], *TEN))


def act_from(net: Network, act: str, address: str, user: str, port: int) -> None:
    client = client_of(net, address, user, port)
    if act == "ask":
        client.raw(compose(TYPES["allocate"], (UDP,)))
        return
    if act == "guess":
        client.key = b"wrong"
    client.raw(compose(TYPES["allocate"], (UDP,)))
    client.ask(TYPES["allocate"], UDP)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(acts, hostile, st.integers(1, 20)), min_size=1, max_size=60))
def test_what_a_48_and_ten_addresses_do_costs_a_visitor_elsewhere_nothing(
    script: list[tuple[str, str, int]],
) -> None:
    net = relay_of(
        allocations_per_address=5, allocations=70, unauthenticated_per_second=5, unauthenticated_in_all=400
    )
    for number, (act, address, times) in enumerate(script):
        for port in range(times):
            act_from(net, act, address, f"hostile {number}", 1024 + number * 20 + port)
    assert_served(net)
