"""What one message costs the core and the wire: nanoseconds per operation, aioice's figure beside ours.

Repeat with: .venv/bin/python -m tests.bench.core
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from aioice import stun as aioice

from tests.turn.network import LISTENER, PEER, Client, compose, network, unlimited
from turn.flows import Packet
from turn.wire.attributes import DATA, XOR_PEER_ADDRESS
from turn.wire.stun import (
    binding_success,
    channel_data,
    data_indication,
    parse,
    parse_channel_data,
    parse_send,
)

PAYLOAD = bytes(160)  # an Opus packet of 20 ms, encrypted
TRANSACTION = bytes(range(12))
ROUNDS = 20_000


def cost(act: Callable[[], object]) -> float:
    """Nanoseconds, best of five: what disturbs a run only ever adds."""
    return min(timeit.repeat(act, number=ROUNDS, repeat=5)) / ROUNDS * 1e9


def their_binding() -> bytes:
    mapped = {"XOR-MAPPED-ADDRESS": (PEER.host, PEER.port)}
    return bytes(aioice.Message(aioice.Method.BINDING, aioice.Class.RESPONSE, TRANSACTION, mapped))


def their_data() -> bytes:
    given = {"XOR-PEER-ADDRESS": (PEER.host, PEER.port), "DATA": PAYLOAD}
    return bytes(aioice.Message(aioice.Method.DATA, aioice.Class.INDICATION, TRANSACTION, given))


def wire() -> list[tuple[str, Callable[[], object], Callable[[], object] | None]]:
    send = compose(0x0016, ((XOR_PEER_ADDRESS, PEER), (DATA, PAYLOAD)), transaction=TRANSACTION)
    marked = compose(0x0016, ((XOR_PEER_ADDRESS, PEER), (DATA, PAYLOAD)), fingerprint=True)
    allocate = compose(3, ((0x0019, 17), (0x0006, "alice"), (0x0014, "call"), (0x0015, b"n" * 16)), key=b"k")
    frame = channel_data(0x4000, PAYLOAD)
    return [
        ("parse Send, by hand", lambda: parse_send(send), lambda: aioice.parse_message(send)),
        ("parse Send with FINGERPRINT", lambda: parse_send(marked), lambda: aioice.parse_message(marked)),
        ("parse Send, walked", lambda: parse(send), lambda: aioice.parse_message(send)),
        ("parse Allocate, signed", lambda: parse(allocate), lambda: aioice.parse_message(allocate)),
        ("build Binding success", lambda: binding_success(TRANSACTION, PEER), their_binding),
        ("build Data", lambda: data_indication(TRANSACTION, PEER, PAYLOAD), their_data),
        ("parse ChannelData", lambda: parse_channel_data(frame), None),
        ("build ChannelData", lambda: channel_data(0x4000, PAYLOAD), None),
    ]


def core() -> list[tuple[str, Callable[[], object], None]]:
    net = network(unlimited())
    client = Client(net)
    relayed = client.allocate()
    client.bind(0x4000, PEER)
    stranger = Client(net, port=40001)
    forger = Client(net, port=40002)
    forger.nonce = b"n" * 16

    def arrives(data: bytes, source: Client) -> Callable[[], object]:
        packet = Packet(LISTENER, source.address, data)
        return lambda: net.relay.receive(packet, 1.0, 0.0)

    send = compose(0x0016, ((XOR_PEER_ADDRESS, PEER), (DATA, PAYLOAD)))
    from_peer = Packet(relayed, PEER, PAYLOAD)
    return [
        ("receive Binding", arrives(compose(1), stranger), None),
        ("receive Binding with FINGERPRINT", arrives(compose(1, fingerprint=True), stranger), None),
        ("receive Allocate, answer 401", arrives(compose(3, ((0x0019, 17),)), stranger), None),
        ("receive forged Allocate, answer 401", arrives(forger.sign(3, ((0x0019, 17),)), forger), None),
        ("receive Refresh", arrives(client.sign(4), client), None),
        ("receive Send", arrives(send, client), None),
        ("receive ChannelData", arrives(channel_data(0x4000, PAYLOAD), client), None),
        ("receive from a peer", lambda: net.relay.receive(from_peer, 1.0, 0.0), None),
        ("drop junk", arrives(b"\0\1", stranger), None),
        ("drop Send without allocation", arrives(send, stranger), None),
    ]


def main() -> None:
    print(f"{'operation':38}{'ours, ns':>10}{'aioice, ns':>12}")
    for name, ours, theirs in (*wire(), *core()):
        print(f"{name:38}{cost(ours):10.0f}" + (f"{cost(theirs):12.0f}" if theirs else ""))


if __name__ == "__main__":
    main()
