"""Answers: signed where the request was, marked where it was, and sent to where it came from."""

from __future__ import annotations

import pytest

from tests.turn.network import LISTENER, Client, compose, network, settings
from turn.core.exchange import Credentials, Exchange
from turn.core.state import RelayState
from turn.errors import AllocationMismatch, StaleNonce, UnknownAttribute, WrongCredentials
from turn.flows import Packet
from turn.wire.attributes import ERROR_CODE, LIFETIME, NONCE, UNKNOWN_ATTRIBUTES
from turn.wire.stun import parse

CLIENT = Client(network()).address
PROOF = Credentials("alice", "alice", b"key")


def exchange(*, marked: bool = False, proof: Credentials | None = PROOF) -> Exchange:
    data = compose(4, fingerprint=marked, transaction=b"t" * 12)
    packet = Packet(LISTENER, CLIENT, data)
    return Exchange(RelayState(settings()), packet, parse(data), 0.0, 0.0, None, proof)


@pytest.mark.parametrize("marked", [False, True])
def test_a_success(marked: bool) -> None:
    packet = exchange(marked=marked).success_response((LIFETIME, 600)).packet
    message = parse(packet.data)
    assert (packet.local, packet.remote) == (LISTENER, CLIENT)
    assert (message.type, message.transaction, message.get(LIFETIME)) == (0x0104, b"t" * 12, 600)
    assert (message.verify(b"key"), message.fingerprint) == (True, marked)


def test_a_refusal_lists_at_most_eight_types() -> None:
    message = parse(exchange().error_response(UnknownAttribute(tuple(range(0x7000, 0x7010)))).packet.data)
    assert (message.type, message.get(ERROR_CODE)) == (0x0114, 420)
    assert message.get(UNKNOWN_ATTRIBUTES) == tuple(range(0x7000, 0x7008))


def test_before_authentication_nothing_is_signed() -> None:
    asked = exchange(proof=None)
    assert not parse(asked.error_response(StaleNonce()).packet.data).integrity
    with pytest.raises(LookupError):
        asked.signer  # noqa: B018  # the property raises


@pytest.mark.parametrize("marked", [False, True])
def test_a_challenge_holds_a_good_nonce_and_no_signature(marked: bool) -> None:
    asked = exchange(marked=marked)
    message = parse(asked.challenge(StaleNonce()).packet.data)
    assert (message.get(ERROR_CODE), message.integrity, message.fingerprint) == (438, 0, marked)
    assert asked.state.nonces.accepts(message.get(NONCE) or b"", CLIENT, 0.0)


def test_whose_allocation_it_is() -> None:
    net = network()
    client = Client(net)
    client.allocate()
    allocation = net.relay._state.allocations.of_client(client.address, LISTENER)
    asked = exchange()
    with pytest.raises(AllocationMismatch):
        asked.own_allocation()
    asked.allocation = allocation
    assert asked.own_allocation() is allocation
    asked.credentials = Credentials("bob", "bob", b"key")
    with pytest.raises(WrongCredentials):
        asked.own_allocation()
    assert asked.five_tuple == (CLIENT, LISTENER)
