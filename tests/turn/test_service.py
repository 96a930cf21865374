"""The relay as a process: what the core asks for is done, and what goes wrong is said."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from contextlib import closing, suppress
from functools import partial
from ipaddress import ip_address
from typing import Protocol

import pytest
from aioice import stun
from aioice.turn import make_integrity_key

from tests.turn.engines.certificates import certificate
from tests.turn.engines.world import (
    PATIENCE,
    Client,
    End,
    World,
    attributes,
    framed,
    free,
    unframed,
    xored,
)
from turn import service
from turn.config import Turn
from turn.core.effects import Effect, Send
from turn.core.relay import Relay
from turn.engines import CannotListen, Failure
from turn.engines.portable import Portable
from turn.flows import Address, Packet, Transport
from turn.service import Service, Unavailable

LOOPBACK = frozenset((b"\x7f\0\0\1", bytes(15) + b"\1"))
SECRET = b"sixteen bytes or more"
RELAYED = "21000-21999"  # below the ports that the system gives out
PACKET = Packet(Address.of("127.0.0.1", 1), Address.of("192.0.2.66", 2), b"canary")


def turn(**keys: object) -> Turn:
    """At this machine alone, and for plain words too."""
    local = {"listen": "127.0.0.1:3478", "relay_ports": RELAYED, "allow_loopback_peers": True}
    return Turn.model_validate({**local, "encrypted_only": "off", **keys})


class Place(Protocol):
    """Where a relay is, and ends to talk to it with."""

    listener: Address

    def end(self) -> End: ...


class Caller:
    """A TURN client that asks one thing after another."""

    def __init__(self, world: Place, user: str, password: str, end: Client | None = None) -> None:
        self.end = end or world.end()
        self.listener = world.listener
        self.user, self.password = user, password
        self.signed: dict[str, object] = {}
        self.key: bytes | None = None

    async def ask(self, method: stun.Method, **attributes: object) -> stun.Message:
        message = stun.Message(message_method=method, message_class=stun.Class.REQUEST)
        named = {name.replace("_", "-"): value for name, value in attributes.items()}
        message.attributes.update({**named, **self.signed})
        if self.key is not None:
            message.add_message_integrity(self.key)
        self.end.send(bytes(message), self.listener)
        answer = stun.parse_message(await self.end.receive())
        assert answer.transaction_id == message.transaction_id
        return answer

    async def challenged(self) -> None:
        """Knows from here on what the relay wants to see."""
        refusal = await self.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
        realm, nonce = refusal.attributes["REALM"], refusal.attributes["NONCE"]
        self.key = make_integrity_key(self.user, realm, self.password)
        self.signed = {"USERNAME": self.user, "REALM": realm, "NONCE": nonce}

    async def allocate(self) -> Address:
        await self.challenged()
        answer = await self.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
        return Address.of(*answer.attributes["XOR-RELAYED-ADDRESS"])

    async def bind(self, channel: int, peer: Address) -> stun.Class:
        there = (peer.host, peer.port)
        answer = await self.ask(stun.Method.CHANNEL_BIND, CHANNEL_NUMBER=channel, XOR_PEER_ADDRESS=there)
        return answer.message_class


class Running(World):
    """The whole relay on one port of loopback, in this process."""

    def __init__(
        self, version: int = 4, relay: type[Relay] = Relay, transport: Transport = "udp", **keys: object
    ) -> None:
        super().__init__(Portable, version, transport=transport)
        keys.setdefault("users", {"alice": "password of hers"})
        told = service.settings(turn(**keys), [SECRET], [self.listener], LOOPBACK)
        self.relay = relay(told)
        self.service = Service(self.relay, self.engine)

    def receive(self, packet: Packet) -> None:
        self.service.punt(packet)

    def lose(self, client: Address, listener: Address) -> None:
        self.service.lost(client, listener)

    def fail(self, failure: Failure) -> None:
        self.service.failed(failure)

    def note(self, error: Exception) -> None:
        self.service.note(error)


@pytest.mark.parametrize("version", [4, 6])
async def test_a_call_between_two_clients_of_one_relay(version: int) -> None:
    async with Running(version) as world:
        callers = [Caller(world, "alice", "password of hers") for _ in range(2)]
        relays = [await caller.allocate() for caller in callers]
        for caller, there in zip(callers, reversed(relays), strict=True):
            assert await caller.bind(0x4000, there) is stun.Class.RESPONSE
        flows = list(world.engine.traffic())
        assert [(flow.relay, flow.peer) for flow in flows] == [tuple(relays), tuple(relays[::-1])]
        for flow, one, two in zip(flows, callers, reversed(callers), strict=True):
            one.end.send(framed(flow, b"hello"), world.listener)
            assert unframed(flow, await two.end.receive()) == b"hello"
        assert await ended(callers[0]) is stun.Class.RESPONSE
        assert not world.engine.traffic()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_call_over_streams_ends_with_its_connection(version: int, transport: Transport) -> None:
    async with Running(version, transport=transport) as world:
        caller = Caller(world, "alice", "password of hers", await world.connect())
        relay = await caller.allocate()
        peer = world.end(relay.host)
        assert await caller.bind(0x4000, peer.address) is stun.Class.RESPONSE
        (flow,) = world.engine.traffic()
        assert (flow.client, flow.listener) == (caller.end.address, world.listener)
        for data in (b"a", b"hello"):
            caller.end.send(framed(flow, data), world.listener)
            assert await peer.receive_from() == (data, relay)
            peer.send(data, relay)
            assert unframed(flow, await caller.end.receive()) == data
        caller.end.close()
        async with asyncio.timeout(1):
            while world.engine.traffic():
                await asyncio.sleep(0.01)
        assert world.engine.open(relay)
        assert not list(world.relay.sessions(0.0))


async def test_a_loss_that_no_code_expected_is_counted() -> None:
    async with Running(transport="tcp") as world:
        world.service.relay = None  # type: ignore[assignment]
        world.service.lost(world.listener, world.listener)
        assert world.service.mishaps == 1


TLS = {"certificate": "chain.pem", "key": "key.pem"}


def test_connections_are_counted_by_household_and_not_where_trusted() -> None:
    limits = {"connections": 5, "connections_per_address": 2, "trusted": ["192.0.2.0/24"]}
    told = service.streams(turn(limits=limits))
    assert told[:2] == (5, 2)
    assert told.certificate is None
    ips = [Address.of(text, 0).ip for text in ("192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8::ffff")]
    assert list(map(told.counted_as, ips)) == [None, ips[1], ips[2][:8], ips[2][:8]]


def test_only_the_networks_named_are_proxies() -> None:
    assert service.streams(turn()).is_proxy is None
    told = service.streams(turn(proxies=["192.0.2.4/31", "2001:db8::/64"], **TLS, detect_tls=True))
    assert told.detect_tls
    assert told.is_proxy is not None
    texts = ("192.0.2.4", "192.0.2.6", "2001:db8::9", "2001:db8:0:1::9", "::ffff:192.0.2.4")
    assert [told.is_proxy(Address.of(text, 0).ip) for text in texts] == [True, False, True, False, False]


def test_a_certificate_that_cannot_be_used_is_no_start_and_no_reload() -> None:
    good, other = certificate(), certificate("other")
    there = free("127.0.0.1", "tls")
    keys: dict[str, object] = {"listen": str(there), "certificate": good.chain}
    make = partial(Portable, streams=service.streams(turn(**keys, key=other.key)))
    with pytest.raises(Unavailable, match=r"turn.certificate, turn.key: .* belongs to another certificate"):
        service.listen(make, [there])
    engine, _ = service.listen(
        partial(Portable, streams=service.streams(turn(**keys, key=good.key))), [there]
    )
    assert isinstance(engine, Portable)
    running = Service(
        Relay(service.settings(turn(**keys, key=good.key), [SECRET], [there], LOOPBACK)), engine
    )
    with pytest.raises(Unavailable, match="belongs to another certificate"):
        running.present(turn(**keys, key=other.key))
    running.present(turn(**keys, key=good.key))
    engine.shut()


async def ended(caller: Caller) -> stun.Class:
    return (await caller.ask(stun.Method.REFRESH, LIFETIME=0)).message_class


async def test_indications_are_relayed_and_then_linked() -> None:
    async with Running() as world:
        caller, peer = Caller(world, "alice", "password of hers"), world.end()
        relay = await caller.allocate()
        there = (peer.address.host, peer.address.port)
        await caller.ask(stun.Method.CREATE_PERMISSION, XOR_PEER_ADDRESS=there)
        flow = world.flow(caller.end, peer.address, None, relay)
        for data in (b"first", b"second"):
            caller.end.send(framed(flow, data), world.listener)
            assert await peer.receive_from() == (data, relay)
            peer.send(data, relay)
            assert unframed(flow, await caller.end.receive()) == data
        assert list(world.engine.traffic()) == [flow]


async def test_core_and_engine_have_one_limit_together() -> None:
    """Half of the packets have an attribute that the engine leaves to the core."""
    rate, seconds = 50, 2.0
    async with Running(limits={"packets_per_second": rate}) as world:
        caller, peer = Caller(world, "alice", "password of hers"), world.end()
        await caller.allocate()
        await caller.bind(0x4000, peer.address)
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            for data in (b"\x40\0\0\1x", said_oddly(peer.address)):
                caller.end.send(data, world.listener)
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        passed = sum(flow.packets_out for flow in world.engine.traffic().values())
        dropped = world.relay.counts["drops.pace"]
        heard = 0
        with suppress(TimeoutError):
            while await asyncio.wait_for(peer.receive(), 0.2):
                heard += 1
        assert 0 < passed < heard <= rate * (time.monotonic() - begun + 2)
        assert dropped > 0


def said_oddly(peer: Address) -> bytes:
    message = stun.Message(message_method=stun.Method.SEND, message_class=stun.Class.INDICATION)
    message.attributes.update({"SOFTWARE": "x", "XOR-PEER-ADDRESS": (peer.host, peer.port), "DATA": b"x"})
    return bytes(message)


async def test_a_client_is_told_what_was_too_large_to_go_whole() -> None:
    async with Running() as world:
        caller, peer = Caller(world, "alice", "password of hers"), world.end()
        relay = await caller.allocate()
        there = (peer.address.host, peer.address.port)
        await caller.ask(stun.Method.CREATE_PERMISSION, XOR_PEER_ADDRESS=there)
        world.service.apply([Send(Packet(relay, peer.address, bytes(65530), dont_fragment=True))])
        told = dict(attributes(await caller.end.receive()))
        assert told[0x8004][:4] == b"\0\0\x03\x04"
        assert int.from_bytes(told[0x8004][4:]) >= 1280


async def test_a_client_is_told_of_a_peer_that_is_not_there() -> None:
    async with Running() as world:
        caller, peer = Caller(world, "alice", "password of hers"), world.end()
        relay = await caller.allocate()
        assert await caller.bind(0x4000, peer.address) is stun.Class.RESPONSE
        peer.close()
        flow = world.flow(caller.end, peer.address, 0x4000, relay)
        for _ in range(3):
            caller.end.send(framed(flow, b"anybody?"), world.listener)
            message = await caller.end.receive()
            assert message[:2] == b"\0\x17"
            assert dict(attributes(message)) == {
                0x0012: xored(peer.address, message[8:20]),
                0x8004: b"\0\0\x03\x03" + bytes(4),
            }
        assert await ended(caller) is stun.Class.RESPONSE  # and nothing else was told before


async def test_a_taken_port_leads_to_another() -> None:
    squatters = [End("127.0.0.1", port) for port in range(22500, 22503)]
    async with Running(relay_ports="22500-22503") as world:
        assert (await Caller(world, "alice", "password of hers").allocate()).port == 22503
    for squatter in squatters:
        squatter.close()


class Surprised(Relay):
    """A relay with a mistake in it."""

    def receive(self, packet: Packet, now: float, wall: float) -> list[Effect]:
        raise KeyError(packet.data, packet.there.host)


async def test_a_mistake_is_counted_and_the_relay_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    async with Running(relay=Surprised) as world:
        for _ in range(100):
            world.service.punt(PACKET)
        assert world.service.mishaps == 100
        world.service.quiet_until = 0.0
        world.service.punt(PACKET)
    messages = [record.getMessage() for record in caplog.records if record.name == "calln.relay"]
    assert [message.split()[3] for message in messages] == ["KeyError"] * 2
    assert "(101 so far)" in messages[1]
    assert "canary" not in caplog.text
    assert "192.0.2.66" not in caplog.text


class Forgetful(Relay):
    """A relay in which something ends soon, three times."""

    left = 3
    due = 0.0

    def next_expiry(self) -> float | None:
        self.due = time.monotonic() + 0.01
        return self.due if self.left else None

    def expire(self, now: float) -> list[Effect]:
        assert now >= self.due
        self.left -= 1
        if self.left == 1:
            raise RuntimeError
        return []


async def test_deadlines_are_kept_even_after_a_mistake() -> None:
    async with Running(relay=Forgetful) as world:
        world.service.wake_in_time()
        async with asyncio.timeout(PATIENCE):
            while world.relay.next_expiry() is not None:
                await asyncio.sleep(0.01)
        assert world.service.mishaps == 1
        assert world.service.timer is None


async def test_an_earlier_deadline_moves_the_timer() -> None:
    async with Running() as world:
        first = Caller(world, "alice", "password of hers")
        await first.allocate()
        timer = world.service.timer
        assert timer is not None
        assert timer.when() == world.relay.next_expiry()
        peer = ("127.0.0.1", 9)
        await first.ask(stun.Method.CREATE_PERMISSION, XOR_PEER_ADDRESS=peer)
        moved = world.service.timer
        assert moved is not None
        assert moved.when() == world.relay.next_expiry()
        assert moved.when() < timer.when()
        await ended(first)
        moved.cancel()


BAD_ADDRESSES = [
    (Address.of("192.0.2.99", 3478), "no such address"),
    (Address.of("2001:db8::99", 3478), "no such address"),
]


@pytest.mark.parametrize(("address", "words"), BAD_ADDRESSES)
def test_an_address_that_is_not_ours_is_named(address: Address, words: str) -> None:
    with pytest.raises(Unavailable, match=words) as caught:
        service.listen(Portable, [address])
    assert str(address) in str(caught.value)


def test_a_port_that_is_taken_is_named() -> None:
    squatter = End()
    with closing(squatter), pytest.raises(Unavailable, match=r"in use; .*turn\.listen") as caught:
        service.listen(Portable, [squatter.address])
    assert str(squatter.address.port) in str(caught.value)


class Without6:
    """What an engine meets on a machine without IPv6."""

    name = "without IPv6"

    def __new__(cls, listen: list[Address]) -> Portable:  # type: ignore[misc]
        for address in listen:
            if len(address.ip) == 16:
                raise CannotListen(address, OSError(errno.EAFNOSUPPORT, "Address family not supported"))
        return Portable([])


def test_no_ipv6_is_a_warning_and_nothing_left_is_an_end(caplog: pytest.LogCaptureFixture) -> None:
    four, six = Address.of("0.0.0.0", 3478), Address.of("::", 3478)
    engine, left = service.listen(Without6, [four, six])  # type: ignore[arg-type]
    engine.close(four)
    assert left == (four,)
    assert "no IPv6" in caplog.text
    with pytest.raises(Unavailable, match="no IPv6"):
        service.listen(Without6, [six])  # type: ignore[arg-type]


LACKING = [
    ("::", errno.EAFNOSUPPORT, True),
    ("::", errno.EADDRNOTAVAIL, True),
    ("::1", errno.EAFNOSUPPORT, True),
    ("::1", errno.EADDRNOTAVAIL, False),
    ("::", errno.EADDRINUSE, False),
    ("0.0.0.0", errno.EADDRNOTAVAIL, False),
]


@pytest.mark.parametrize(("host", "number", "lacking"), LACKING)
def test_what_speaks_of_a_machine_without_ipv6(host: str, number: int, lacking: bool) -> None:
    error = CannotListen(Address.of(host, 3478), OSError(number, os.strerror(number)))
    assert service.lacks_ipv6(error) is lacking


def test_the_core_is_told_what_the_file_says() -> None:
    configured = turn(
        realm="elsewhere",
        users={"bob": "password of his"},
        allow_peers=["10.1.0.0/16"],
        deny_peers=["198.41.0.0/24"],
        allow_loopback_peers=False,
        external_ip=["203.0.113.5/10.0.0.5"],
        limits={"allocations_per_user": 7, "trusted": ["192.0.2.0/24"]},
    )
    listeners = [Address.of("0.0.0.0", 3478), Address.of("127.0.0.1", 3479)]
    told = service.settings(configured, [SECRET], listeners, LOOPBACK)
    assert (told.realm, told.ports, told.own) == ("elsewhere", (21000, 21999), LOOPBACK)
    assert told.listeners == {Address.of("127.0.0.1", 3478), Address.of("127.0.0.1", 3479)}
    assert told.externals == {Address.of("10.0.0.5", 0).ip: Address.of("203.0.113.5", 0).ip}
    assert told.limits.allocations_per_user == 7
    assert told.limits.packets_per_second == 2500
    assert told.limits.trusts(Address.of("192.0.2.7", 0).ip)
    assert told.keys.login("bob", 0.0) == ("bob", ("password of his",))
    assert told.keys.login("9999999999:eve", 0.0) is not None
    asked = {ip: told.peers.allows(Address.of(ip, 0).ip) for ip in ("10.1.2.3", "198.41.0.4", "127.0.0.1")}
    assert asked == {"10.1.2.3": True, "198.41.0.4": False, "127.0.0.1": False}
    assert len(told.nonce_key) == 32
    assert told.nonce_key != service.settings(configured, [SECRET], listeners, LOOPBACK).nonce_key


TRANSLATED = [  # external_ip, relay_addresses, listen -> the local address
    ("203.0.113.5/10.0.0.5", [], "udp://0.0.0.0:3478", "10.0.0.5"),
    ("203.0.113.5", ["10.0.0.7"], "udp://10.0.0.6:3478", "10.0.0.7"),
    ("203.0.113.5", ["2001:db8::7"], "udp://10.0.0.6:3478", "10.0.0.6"),
    ("2001:db8::5", ["2001:db8::7"], "udp://10.0.0.6:3478", "2001:db8::7"),
    ("127.0.0.9", [], "udp://0.0.0.0:3478", "127.0.0.1"),  # by route
]


@pytest.mark.parametrize(("external", "relays", "listen", "local"), TRANSLATED)
def test_which_local_address_nat_maps(external: str, relays: list[str], listen: str, local: str) -> None:
    configured = turn(external_ip=external, relay_addresses=relays, listen=listen)
    pairs = [pair for one in configured.external_ip for pair in service.translation(one, configured)]
    assert pairs == [(Address.of(local, 0).ip, ip_address(external.partition("/")[0]).packed)]


@pytest.mark.parametrize(
    ("own", "listen", "allowed", "refused"),
    [
        (["127.0.0.1", "9.9.9.9"], "udp://0.0.0.0:3478", True, True),
        (["::1", "2600::5"], "[::]:3478", True, True),
        (["127.0.0.1", "9.9.9.9"], "udp://0.0.0.0:3478", False, False),
        (["127.0.0.1", "9.9.9.9"], "udp://127.0.0.1:3478", True, False),
        (["127.0.0.1", "10.0.0.5", "fe80::1"], "udp://0.0.0.0:3478", True, False),
    ],
)
def test_where_loopback_peers_are_refused(own: list[str], listen: str, allowed: bool, refused: bool) -> None:
    addresses = frozenset(Address.of(ip, 0).ip for ip in own)
    configured = turn(listen=listen, allow_loopback_peers=allowed)
    try:
        service.check_loopback_peers(configured, addresses)
        told = ""
    except Unavailable as problem:
        told = str(problem)
    assert ("strangers would reach its own ports" in told) is refused
