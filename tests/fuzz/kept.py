"""A target for what a dead process has left: whatever a record says, the next process serves, and it ends."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from tests.turn.network import LISTENER, PEER, USERS, network, unlimited
from turn.core.allocations import Channel
from turn.core.relay import KeptAllocation
from turn.flows import Address
from turn.gate.kept import KeptPair
from turn.gate.sessions import KeptSession
from turn.service.allocation_record import BadRecord, pack, unpack
from turn.wire.integrity import long_term_key

ROOM = 1 << 18
KEY = long_term_key("alice", "call", USERS["alice"])
ANOTHER = Address.of("192.0.2.1", 50001)
FOREVER = 4000.0  # seconds: longer than anything may live without being renewed


def allocations(data: bytes) -> None:
    """What is read can be written, and is taken or refused, and all of it ends in time."""
    with suppress(BadRecord):
        kept = unpack(data)
        packed = pack(kept, ROOM)
        assert pack(unpack(packed), ROOM) == packed
        mine = kept._replace(listener=LISTENER, username="alice", user="alice", key=KEY)
        restore([kept, mine, mine._replace(client=kept.client._replace(port=1), relay=ANOTHER)])


def restore(kept: list[KeptAllocation]) -> None:
    net = network(unlimited(encrypted_only="enforce"))
    net.run(net.relay.restore(kept, net.now))
    net.run(net.relay.link_restored(net.now))
    assert len(net.open) == sum(1 for _ in net.relay.sessions(net.now))
    net.pass_time(FOREVER)
    assert not net.open
    assert not net.links
    assert not net.pinned


def some_allocations() -> Iterable[bytes]:
    session = KeptSession((b"ours", b"theirs"), True, False, False, True, (7, 8))
    pair = KeptPair(PEER, session, 0, (1.0, 2.0), (float("-inf"), 0.0), (7,))
    first = KeptAllocation(
        *(Address.of("8.8.8.8", 40000), LISTENER, Address.of("192.0.2.1", 50000), "alice", "alice", KEY),
        *(b"\x08\x08\x08\x08", b"t" * 12, 600.0),
        channels=((0x4000, Channel(PEER, 500.0)),),
        pairs=(pair,),
        permissions=((PEER.ip, 300.0),),
        sent_to=(PEER,),
    )
    yield pack(first, ROOM)
    yield pack(first._replace(channels=(), pairs=(), permissions=(), sent_to=()), ROOM)
