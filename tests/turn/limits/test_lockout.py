"""Wrong passwords: how many, for how long, for which client and user, and in how much memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.turn.network import TYPES, Client, Network, network, settings
from turn.credentials import mint
from turn.flows import Address
from turn.limits.lockout import MAX_ENTRIES, SECONDS, Lockout
from turn.policies import Accounts, Limits
from turn.wire.attributes import NONCE, REQUESTED_TRANSPORT
from turn.wire.stun import parse

IP, OTHER = Address.of("8.8.8.8", 0).ip, Address.of("8.8.4.4", 0).ip
UDP = (REQUESTED_TRANSPORT, 17)


def test_the_fifth_locks_for_half_a_minute() -> None:
    lockout = Lockout(5, b"key")
    for turn in range(5):
        assert not lockout.is_locked(IP, "alice", float(turn))
        lockout.note_wrong(IP, "alice", float(turn))
    assert lockout.is_locked(IP, "alice", 4.0 + SECONDS - 0.1)
    assert not lockout.is_locked(IP, "bob", 5.0)
    assert not lockout.is_locked(OTHER, "alice", 5.0)
    assert not lockout.is_locked(IP, "alice", 4.0 + SECONDS)
    lockout.note_wrong(IP, "alice", 4.0 + SECONDS)
    assert not lockout.is_locked(IP, "alice", 4.0 + SECONDS)


def test_the_right_password_wipes_the_slate() -> None:
    lockout = Lockout(2, b"key")
    lockout.note_wrong(IP, "alice", 0.0)
    lockout.note_right(IP, "alice")
    lockout.note_wrong(IP, "alice", 0.0)
    assert not lockout.is_locked(IP, "alice", 0.0)
    assert len(lockout) == 1


def test_a_64_is_one_address_and_no_limit_is_none() -> None:
    lockout = Lockout(1, b"key")
    lockout.note_wrong(Address.of("2001:db8::1", 0).ip, "alice", 0.0)
    assert lockout.is_locked(Address.of("2001:db8::2", 0).ip, "alice", 0.0)
    never = Lockout(0, b"key")
    never.note_wrong(IP, "alice", 0.0)
    assert (never.is_locked(IP, "alice", 0.0), len(never)) == (False, 0)


def test_all_households_of_a_48_together_have_twice_the_guesses() -> None:
    lockout, judged = Lockout(5, b"key"), 0
    for number in range(100):
        ip = Address.of(f"2001:db8:bad:{number:x}::1", 0).ip
        if not lockout.is_locked(ip, "alice", 0.0):
            lockout.note_wrong(ip, "alice", 0.0)
            judged += 1
    assert judged == 10
    assert not lockout.is_locked(ip, "bob", 0.0)
    assert not lockout.is_locked(Address.of("2001:db8:900d::1", 0).ip, "alice", 0.0)
    lockout.note_right(ip, "alice")
    assert not lockout.is_locked(ip, "alice", 0.0)


def test_memory_is_bounded() -> None:
    lockout = Lockout(1, b"key")
    for number in range(MAX_ENTRIES + 500):
        lockout.note_wrong(IP, f"user{number}", 0.0)
    assert len(lockout) == MAX_ENTRIES
    assert lockout.is_locked(IP, f"user{MAX_ENTRIES + 499}", 0.0)
    assert not lockout.is_locked(IP, "user0", 0.0)


def guess(net: Network, times: int, *, address: str = "8.8.8.8", user: str = "alice") -> Client:
    guesser = Client(net, address, 50000, user=user, password="wrong")
    for _ in range(times):
        assert guesser.code(TYPES["allocate"], UDP) == 401
    return guesser


def test_a_guesser_waits_and_then_may_try_again() -> None:
    net = network(settings(limits=Limits(wrong_passwords=5, unauthenticated_per_second=0)))
    guess(net, 5)
    assert "locked out" not in net.relay.counts
    alice = Client(net)
    assert alice.code(TYPES["allocate"], UDP) == 401
    assert net.relay.counts["locked out"] == 1
    assert Client(net, port=40001, user="bob").code(TYPES["allocate"], UDP) == 0
    assert Client(net, "8.8.4.4").code(TYPES["allocate"], UDP) == 0
    net.pass_time(SECONDS)
    alice.allocate()


def test_new_settings_give_no_new_guesses() -> None:
    told = settings(limits=Limits(wrong_passwords=5, unauthenticated_per_second=0))
    net = network(told)
    guess(net, 5)
    for most, code in ((5, 401), (0, 0)):
        net.relay.reload(replace(told, limits=replace(told.limits, wrong_passwords=most)), net.now)
        assert Client(net).code(TYPES["allocate"], UDP) == code


def test_who_holds_an_allocation_goes_on() -> None:
    net = network()
    alice = Client(net)
    alice.allocate()
    guess(net, 20)
    assert alice.refresh(600) == 0
    assert Client(net, port=40001).code(TYPES["allocate"], UDP) == 401


def test_a_forged_address_locks_nobody_out() -> None:
    """Who cannot read replies at an address has no nonce for it."""
    net = network()
    forger = Client(net, password="wrong", port=40009)
    elsewhere = Client(net, "7.7.7.7", 40009)
    elsewhere.code(TYPES["refresh"])
    for nonce in (b"n" * 16, elsewhere.nonce):
        forger.nonce = nonce
        for _ in range(20):
            forger.raw(forger.sign(TYPES["allocate"], (UDP,)))
    assert len(net.relay._state.lockout) == 0
    Client(net).allocate()


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("name", ["1001", "2024:bob", "1800000060:c.visitor", "0"])
def test_a_chosen_name_that_looks_minted_is_counted(name: str, hidden: bool) -> None:
    accounts = Accounts({name: "an extension's word"}, (b"a secret of ours",))
    net = network(settings(users=accounts, sha256=True))
    for password, code in (("wrong", 401), ("an extension's word", 401)):
        client = Client(net, user=name, password=password, algorithm=b"\0\2\0\0", hidden=hidden)
        assert [client.code(TYPES["allocate"], UDP) for _ in range(6)] == [code] * 6
    net.pass_time(SECONDS)
    assert Client(net, user=name, password="an extension's word").code(TYPES["allocate"], UDP) == 0


def test_minted_names_are_not_counted() -> None:
    secret = b"a secret of ours"
    net = network(settings(users=Accounts({}, (secret,))))
    username, password = mint(secret, "r.visitor", int(net.wall) + 60)
    guess(net, 20, user=username)
    assert len(net.relay._state.lockout) == 0
    Client(net, user=username, password=password).allocate()


def test_a_locked_name_looks_as_a_wrong_password_does() -> None:
    net = network()
    guesser = guess(net, 1)
    sizes = []
    for _ in range(8):
        guesser.nonce = parse(guesser.raw(guesser.sign(3, (UDP,)))[0].data).raw(NONCE) or b""
        sizes.append(len(guesser.raw(guesser.sign(3, (UDP,)))[0].data))
    assert set(sizes) == {56}
