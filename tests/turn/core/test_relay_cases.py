"""Every row of cases.yaml through the real relay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.turn.network import LISTENER6, PEER, TYPES, Client, Network, compose, network, settings
from turn.flows import Address, Packet
from turn.policies import Limits
from turn.wire.attributes import (
    DONT_FRAGMENT,
    ERROR_CODE,
    NONCE,
    REALM,
    RESERVATION_TOKEN,
    TABLE,
    USERNAME,
    XOR_PEER_ADDRESS,
)
from turn.wire.stun import DATA_INDICATION, ERROR, StunMessage, parse

CLASS = 0x0110  # the bits of a message type that hold its class (RFC 8489 §5)
CASES = yaml.safe_load((Path(__file__).parents[1] / "data" / "cases.yaml").read_text())
BY_NAME = {row.name: row for row in TABLE.values()}
GIVEN = {
    "allocation": lambda client: client.allocate(),
    "allocation for whole packets": lambda client: client.allocate((DONT_FRAGMENT, b"")),
    "permission": lambda client: client.permit(PEER),
    "channel": lambda client: client.bind(0x4001, PEER),
}
SIGNED = ("allocate", "refresh", "permission", "bind")
STRANGE = {"empty": b"", "long": b"x" * 514, "binary": b"\xff\xfe"}  # usernames
LEFT_OUT = {"no username": USERNAME, "no realm": REALM, "no nonce": NONCE}


class Stage:
    """The clients of one case, and what was said last."""

    def __init__(self, row: dict[str, Any]) -> None:
        changes: dict[str, Any] = {"limits": Limits(**row.get("limits", {}))}
        if "ports" in row:
            changes["ports"] = tuple(row["ports"])
        changes |= dict.fromkeys(row.get("keys", ()), True)
        if "listen" in row:
            changes["listeners"] = frozenset(map(address, row["listen"]))
            changes["own_addresses"] = frozenset(place.ip for place in changes["listeners"])
        self.net = network(settings(**changes))
        if "drain" in row:
            self.net.relay.drain(address(row["drain"]) if row["drain"] else None)
        self.clients = {
            "A": Client(self.net),
            "A2": Client(self.net, port=40002),
            "B": Client(self.net, "8.8.4.4", 40001, user="bob"),
            "C": Client(self.net, "2606:4700::7", 40003, listener=LISTENER6),
        }
        if "listen" in row:
            del self.clients["C"]
        for client in self.clients.values():
            client.nonce = nonce_of(client)
        self.first = {name: client.nonce for name, client in self.clients.items()}
        self.token = b""
        self.last = b""
        for step in row.get("given", ()):
            GIVEN[step](self.clients["A"])

    def take(self, step: dict[str, Any]) -> tuple[bytes, list[Packet]]:
        """Say one thing; what was said, and what left the machine."""
        self.net.pass_time(step.get("wait", 0))
        client = self.clients[step.get("from", "A")]
        if "peer" in step or "icmp" in step:
            return b"", self.from_outside(client, step)
        if step.get("wait") and step.get("nonce") != "first":
            client.nonce = nonce_of(client)
        data = self.said(client, step)
        source = address(step["source"]) if "source" in step else client.address
        sent: list[Packet] = []
        for _ in range(step.get("times", 1)):
            sent = self.net.deliver(client.listener, source, data)
        return data, sent

    def from_outside(self, client: Client, step: dict[str, Any]) -> list[Packet]:
        """What a peer sends to the client's relayed address, or the network says about it."""
        assert client.relay is not None
        if "icmp" in step:
            (kind, code), size = step["icmp"], (1500).to_bytes(4, "big")
            return self.net.run(self.net.relay.icmp_error(client.relay, PEER, kind, code, size, self.net.now))
        data = bytes(step["zeros"]) if "zeros" in step else bytes.fromhex(step["raw"])
        return self.net.deliver(client.relay, address(step["peer"]), data)

    def said(self, client: Client, step: dict[str, Any]) -> bytes:
        if "mirror" in step:
            return self.last
        return bytes.fromhex(step["raw"]) if "raw" in step else self.message(client, step)

    def message(self, client: Client, step: dict[str, Any]) -> bytes:
        say = step["say"]
        pairs = [self.pair(*pair) for pair in step.get("with", ())]
        pairs += [(0xFFFE, b"")] * step.get("many", 0)
        pairs += [(XOR_PEER_ADDRESS, peer_of(number)) for number in range(step.get("peers", 0))]
        sign = step.get("sign", client.user if say in SIGNED else "nobody")
        key = None
        if sign != "nobody":
            credentials, key = self.credentials(client, sign, step)
            pairs += credentials
        if step.get("fingerprint") == "early":
            marked = compose(TYPES[say], pairs, fingerprint=True) + bytes.fromhex("fffe0000")
            return marked[:2] + (len(marked) - 20).to_bytes(2, "big") + marked[4:]
        return compose(
            TYPES.get(say, say),
            pairs,
            key=key,
            transaction=bytes.fromhex(step.get("transaction", "")),
            after=[self.pair(*pair) for pair in step.get("after", ())],
            fingerprint=step.get("fingerprint", False),
        )

    def credentials(
        self, client: Client, sign: str, step: dict[str, Any]
    ) -> tuple[list[tuple[Any, Any]], bytes]:
        """USERNAME, REALM and NONCE, and the key, of the one who signs."""
        nonce, password = step.get("nonce", "own"), "wrong" if sign == "wrong" else step.get("password")
        usual = sign in ("wrong", "doubled", "other realm", *LEFT_OUT, *STRANGE)
        signer = Client(self.net, user=client.user if usual else sign, password=password)
        name: Any = STRANGE.get(sign, signer.user)
        realm = "elsewhere" if sign == "other realm" else "call"
        pairs = [(USERNAME, name), (REALM, realm), (NONCE, self.nonce(client, nonce))]
        if sign == "doubled":
            pairs += [(USERNAME, "bob"), (REALM, "elsewhere"), (NONCE, b"x" * 16)]
        return [pair for pair in pairs if pair[0] is not LEFT_OUT.get(sign)], signer.key

    def nonce(self, client: Client, kind: str) -> bytes:
        own = client.nonce
        other = next(other for other in self.clients.values() if other is not client).nonce
        return {
            "own": own,
            "other": other,
            "first": self.first[next(name for name, one in self.clients.items() if one is client)],
            "flipped": own[:-1] + (b"A" if own[-1:] != b"A" else b"B"),
            "long": b"n" * 5000,
            "binary": bytes(range(0xF0, 0x100)),
            "empty": b"",
        }[kind]

    def pair(self, name: str | int, value: Any) -> tuple[Any, Any]:
        row: Any = BY_NAME[name] if isinstance(name, str) else name
        if isinstance(value, dict):
            return row, bytes(value["bytes"]) if "bytes" in value else bytes.fromhex(value["hex"])
        if value == "last":
            return row, self.token
        return row, address(value) if str(name) in ("XOR-PEER-ADDRESS", "XOR-MAPPED-ADDRESS") else value


def peer_of(number: int) -> Address:
    return Address.of(f"9.9.{number >> 8}.{number & 255}", 5000)


def nonce_of(client: Client) -> bytes:
    """What a 401 gives out."""
    probe = compose(TYPES["allocate"], ((0x0019, 17), (USERNAME, "x")))
    return parse(client.raw(probe)[0].data).raw(NONCE) or b""


def address(text: str) -> Address:
    host, port = text.split()
    return Address.of(host, int(port))


def shown(value: Any) -> Any:
    if isinstance(value, Address):
        return f"{value.host} {value.port}"
    if isinstance(value, bytes):
        return value.hex()
    return list(map(shown, value)) if isinstance(value, tuple) else value


def code_of(reply: StunMessage) -> int | str:
    if reply.type & CLASS == ERROR:
        return reply.get(ERROR_CODE) or 0
    return "success"


@pytest.mark.parametrize("row", CASES, ids=lambda row: row["title"].replace(" ", "-"))
def test_case(row: dict[str, Any]) -> None:
    stage = Stage(row)
    for step in row["steps"]:
        said, sent = stage.take(step)
        check_outcome(stage, step, said, sent)
        check_state(stage.net, step)


def check_outcome(stage: Stage, step: dict[str, Any], said: bytes, sent: list[Packet]) -> None:
    expected = step["expect"]
    if expected == "drop":
        assert sent == []
        return
    assert len(sent) == 1
    data = sent[0].data
    assert sent[0].local == address(step.get("leaves", shown(sent[0].local)))
    if expected == "same" and stage.last:
        assert data == stage.last
    elif expected == "told":
        check_indication(step, data)
    elif isinstance(expected, str) and expected not in ("success", "same"):
        assert (sent[0].remote, data) == (PEER, bytes.fromhex(expected))
        assert sent[0].dont_fragment is step.get("whole", False)
    else:
        check_reply(stage, step, said, data)
    stage.last = data


def check_indication(step: dict[str, Any], data: bytes) -> None:
    message = parse(data)
    assert message.type == DATA_INDICATION
    check_contents(step, data, message)


def check_reply(stage: Stage, step: dict[str, Any], said: bytes, data: bytes) -> None:
    reply = parse(data)
    assert code_of(reply) == ("success" if step["expect"] == "same" else step["expect"])
    assert data[8:20] == said[8:20]
    check_contents(step, data, reply)
    stage.token = reply.raw(RESERVATION_TOKEN) or stage.token


def check_contents(step: dict[str, Any], data: bytes, reply: StunMessage) -> None:
    assert len(data) == step.get("size", len(data))
    assert len(data) <= step.get("most", len(data))
    assert {name: shown(reply.get(BY_NAME[name])) for name in step.get("has", {})} == step.get("has", {})
    kinds = {kind for kind, _ in reply.attributes}
    assert not kinds & {
        BY_NAME[name].type if isinstance(name, str) else name for name in step.get("lacks", ())
    }


def check_state(net: Network, step: dict[str, Any]) -> None:
    live = len(list(net.relay.sessions(net.now)))
    assert live == step.get("live", live)
    assert len(net.open) == step.get("ports", len(net.open))
