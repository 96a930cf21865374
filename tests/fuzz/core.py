"""A target for the whole core: bytes are a script of what clients, peers, the network and an operator do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from tests.turn.network import LISTENER, LISTENER6, TYPES, USERS, Client, Network, network, settings
from tests.turn.servers import SECRET, TellingServer, ban
from turn.credentials import server_key
from turn.flows import Address
from turn.policies import Accounts, Limits, PeerTable, networks
from turn.wire.attributes import TABLE
from turn.wire.integrity import ALGORITHMS
from turn.wire.notices import PairVouched, UserEnded

PORTS = (50000, 50005)
SECOND = Address.of("192.0.2.2", 3479)
LISTENERS = frozenset((LISTENER, LISTENER._replace(port=3479), SECOND, SECOND._replace(port=3478), LISTENER6))
OURS = [Address(place.ip, port) for place in (LISTENER, LISTENER6) for port in range(PORTS[0], PORTS[1] + 1)]
PEERS = [
    *(Address.of(ip, 5000) for ip in ("9.9.9.9", "9.9.9.10", "2606:4700::9", "10.0.0.1")),
    LISTENER,
    *OURS,
]
ROWS = sorted(TABLE)
METHODS = sorted(TYPES.values())
LIMITS = Limits(allocations_per_user=4, permissions=6, channels=4, new_peers_per_second=0, wrong_passwords=3)
LONGEST = 64  # steps of one script: more of them find nothing that fewer do not
FOREVER = 4000.0  # seconds: longer than anything may live without being renewed
KINDS = [b"", *ALGORITHMS]
NOTICES = (
    (PairVouched(100, ("alice", "bob"), (b"a", b"b")),),
    (UserEnded(100, "alice"),),
    (UserEnded(0, "bob"),),
    (ban("8.8.8.0/24", 100), UserEnded(30, "bob")),
    (ban("8.8.8.0/24", 0),),
    (ban("2606:4700::/48", 100),),
)


class Script:
    """Bytes, one decision after the other; past the end every decision is the first."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def number(self, below: int) -> int:
        return int.from_bytes(self.take(1) or b"\0", "big") % below

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def choose(self, things: Sequence[Any]) -> Any:
        return things[self.number(len(things))]


class Play:
    def __init__(self, script: Script) -> None:
        self.script, self.numbers = script, count()
        self.flags = script.number(16)
        self.net: Network = network(self.settings(USERS))
        kinds = KINDS if self.flags & 1 else [b""]
        self.clients = [
            Client(self.net, "8.8.8.8", 40000, algorithm=kinds[-1]),
            Client(self.net, "8.8.8.8", 40001, user="bob", hidden=bool(self.flags & 1)),
            Client(self.net, "2606:4700::1", 40002, listener=LISTENER6, algorithm=kinds[len(kinds) // 2]),
            Client(self.net, "8.8.4.4", 40003, password="wrong"),
        ]
        self.servers = [TellingServer(self.net), TellingServer(self.net, secret=b"another one")]

    def settings(self, users: dict[str, str]) -> Any:
        return settings(
            choose=lambda below: next(self.numbers) * 7919 % below,
            sha256=bool(self.flags & 1),
            behaviour_discovery=bool(self.flags & 2),
            classic_stun=bool(self.flags & 4),
            ports=PORTS,
            limits=LIMITS,
            listeners=LISTENERS,
            own_addresses=frozenset(place.ip for place in LISTENERS),
            peers=PeerTable(deny=networks("9.9.9.10/32") if self.flags & 8 else ()),
            users=Accounts(users),
            server_keys=(server_key(SECRET),),
        )

    def transaction(self) -> bytes:
        return next(self.numbers).to_bytes(12, "big")

    def raw(self) -> None:
        client = self.script.choose(self.clients)
        client.raw(self.script.take(self.script.number(256)))

    def request(self) -> None:
        """Signed, with well-formed and malformed attributes."""
        client, kind = self.script.choose(self.clients), self.script.choose(METHODS)
        pairs: list[Any] = [(0x0019, 17)] if kind == TYPES["allocate"] else []
        for _ in range(self.script.number(4)):
            pairs.append((self.script.choose(ROWS), self.script.take(self.script.number(24))))
        client.raw(client.sign(kind, pairs, transaction=self.transaction()))

    def allocate(self) -> None:
        wishes: tuple[list[Any], ...] = (
            [],
            [(0x0017, 2)],
            [(0x8000, 2)],
            [(0x0018, False)],
            [(0x0018, True)],
        )
        self.ask("allocate", (0x0019, 17), *self.script.choose(wishes))

    def refresh(self) -> None:
        families: list[list[Any]] = [[], [(0x0017, 1)], [(0x0017, 2)]]
        self.ask("refresh", (0x000D, self.script.choose((0, 1, 600, 9999))), *self.script.choose(families))

    def permit(self) -> None:
        self.ask(
            "permission", *((0x0012, self.script.choose(PEERS)) for _ in range(1 + self.script.number(3)))
        )

    def bind(self) -> None:
        self.ask("bind", (0x000C, 0x4000 + self.script.number(6)), (0x0012, self.script.choose(PEERS)))

    def ask(self, name: str, *pairs: tuple[int, Any]) -> None:
        self.script.choose(self.clients).ask(TYPES[name], *pairs, transaction=self.transaction())

    def send(self) -> None:
        client, peer = self.script.choose(self.clients), self.script.choose(PEERS)
        client.send(peer, self.script.take(self.script.number(32)), transaction=self.transaction())

    def channel(self) -> None:
        client = self.script.choose(self.clients)
        client.raw((0x4000 + self.script.number(6)).to_bytes(2, "big") + b"\0\1x")

    def hear(self) -> None:
        relay, peer = self.script.choose(OURS), self.script.choose(PEERS)
        self.net.deliver(relay, peer, self.script.take(self.script.number(32)))

    def fail(self) -> None:
        relay, peer, data = self.script.choose(OURS), self.script.choose(PEERS), self.script.take(4)
        kind, code = self.script.number(13), self.script.number(16)
        self.net.run(self.net.relay.icmp_error(relay, peer, kind, code, data, self.net.now))

    def wait(self) -> None:
        self.net.pass_time(self.script.choose((0.1, 31.0, 299.0, 301.0, 601.0)))

    def program(self) -> None:
        """Another one takes a port, or gives it back."""
        self.net.foreign ^= {self.script.choose(OURS)} - self.net.open

    def reload(self) -> None:
        self.flags ^= self.script.number(16) & ~1
        users = self.script.choose((USERS, USERS, {"bob": USERS["bob"]}))
        self.net.run(self.net.relay.reload(self.settings(users), self.net.now))

    def operate(self) -> None:
        relay = self.net.relay
        self.net.run(relay.kill(user=self.script.choose(("alice", "bob")), relay=self.script.choose(OURS)))

    def notify(self) -> None:
        """A server tells something, or somebody without its secret."""
        notices = self.script.choose(NOTICES)
        self.script.choose(self.servers).tell(*notices, number=self.script.number(256))

    def drain(self) -> None:
        self.net.relay.drain(self.script.choose((None, SECOND)))


STEPS: tuple[Callable[[Play], None], ...] = (
    Play.allocate,
    Play.permit,
    Play.bind,
    Play.send,
    Play.channel,
    Play.hear,
    Play.refresh,
    Play.request,
    Play.raw,
    Play.wait,
    Play.fail,
    Play.program,
    Play.reload,
    Play.operate,
    Play.drain,
    Play.notify,
)


def core(data: bytes) -> None:
    """The network asserts what an engine relies on at every effect; here, that the books agree and that in
    the end nothing is left."""
    play = Play(Script(data))
    for _ in range(LONGEST):
        if not play.script:
            break
        play.script.choose(STEPS)(play)
        check_books(play.net)
    play.net.pass_time(FOREVER)
    state = play.net.relay._state
    assert (play.net.open, play.net.links, state.quota.total) == (set(), {}, 0)
    assert (play.net.relay.next_expiry(), state.allocations._linked_to) == (None, {})


def check_books(net: Network) -> None:
    state = net.relay._state
    assert len(net.open) == len(state.allocations) + len(state.reservations) == state.quota.total
    assert not state.pending_ports
    assert not state.allocating
    gone = [one for one in state.allocations if state.told.has_ended(one.user, net.now)]
    gone += [one for one in state.allocations if state.told.bans.covers(one.client.ip, net.now)]
    assert not gone
    assert {link.flow: link.rule for one in state.allocations for link in one.links.values()} == net.links
    for flow in net.links:
        assert state.allocations.by_relay[flow.relay].permits(flow.peer.ip, net.now)
