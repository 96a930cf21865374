"""Clients of proxies over UDP: which client sent a datagram, and where answers go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.engines.tcp.streams import BEHIND, CHANNEL, HELLO, PROXY
from tests.turn.engines.world import PATIENCE, End, Maker, World, framed, stun, unframed
from tests.turn.wire.proxy_headers import CASES, LOCAL_HEADER, header_for, titles
from turn.engines import Engine, Streams
from turn.engines.loop import sockets
from turn.engines.loop.sockets import SockAddr
from turn.engines.portable.engine import Portable
from turn.engines.table import ClientKey
from turn.engines.transmit import DISCARD
from turn.engines.udp.proxied_listener import REQUEST_SECONDS, TRIES, ProxiedListener, Route, Routes
from turn.flows import Address, Flow, Packet, Rule

ONE, TWO = Address.of("203.0.113.9", 51000), Address.of("203.0.113.9", 51001)
SIX = Address.of("2001:db8::9", 51000)
ANSWER = stun(0x0101, b"")


def proxied(make: Maker, **how: str) -> World:
    return World(make, streams=BEHIND, **how)  # type: ignore[arg-type]


def listener_of(world: World) -> ProxiedListener:
    assert isinstance(world.engine, Portable)
    listener = world.engine.listeners[world.listener]
    assert isinstance(listener, ProxiedListener)
    return listener


async def speaks_as(world: World, end: End, client: Address, header: bytes = b"") -> None:
    """What it says comes from this client, and what is sent to the client comes to it."""
    end.send(header + HELLO, world.listener)
    assert await world.punt() == Packet(world.listener, client, HELLO)
    world.engine.send([Packet(world.listener, client, ANSWER)])
    assert await end.receive_from() == (ANSWER, world.listener)


async def is_not_heard(world: World, end: End, data: bytes) -> None:
    """What comes after it is heard, and not this."""
    end.send(data, world.listener)
    await speaks_as(world, other := world.end("127.0.0.1"), other.address)
    assert world.punted.empty()


@pytest.mark.parametrize("client", [ONE, SIX], ids=str)
async def test_a_header_on_the_first_datagram_or_on_each(make: Maker, client: Address) -> None:
    async with proxied(make) as world:
        proxy = world.end(PROXY)
        for header in (header_for(client), header_for(client), b"", b"", header_for(client)):
            await speaks_as(world, proxy, client, header)
        checked = header_for(client, b"\x04\0\1\0")
        await speaks_as(world, proxy, client, checked)
        await speaks_as(world, proxy, client)


READ, REFUSED = ([row for row in CASES[kind] if row["transport"] == "udp"] for kind in ("read", "refused"))


@pytest.mark.parametrize("case", READ, ids=titles(READ))
async def test_all_that_can_be_said_of_a_client(make: Maker, case: dict[str, str]) -> None:
    async with proxied(make) as world:
        proxy = world.end(PROXY)
        proxy.send(bytes.fromhex(case["bytes"]) + HELLO, world.listener)
        packet = await world.punt()
        there = case["client"] or str(proxy.address).partition("://")[2]
        assert (str(packet.remote).partition("://")[2], packet.data) == (there, HELLO)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the header is cut off"),
        (HELLO, "there is no header"),
        (b"PROXY UDP4 203.0.113.9 198.51.100.2 51000 3478\r\n", "the header is of version 1, not 2"),
        (header_for(ONE)[:12], "the header is cut off"),
        (header_for(ONE)[:-1], "the header is cut off"),
        *((bytes.fromhex(case["bytes"]) + HELLO, case["reason"]) for case in REFUSED),
    ],
)
async def test_what_names_nobody_is_dropped(
    make: Maker, caplog: pytest.LogCaptureFixture, data: bytes, reason: str
) -> None:
    async with proxied(make) as world:
        await is_not_heard(world, world.end(PROXY), data)
        assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [reason]
        assert not listener_of(world).routes.by_port


async def test_a_header_from_anybody_else_is_bytes_like_others(make: Maker) -> None:
    async with proxied(make) as world:
        end = world.end("127.0.0.1")
        end.send(header_for(ONE) + HELLO, world.listener)
        assert await world.punt() == Packet(world.listener, end.address, header_for(ONE) + HELLO)


async def test_two_clients_of_one_proxy_stay_apart(make: Maker) -> None:
    async with proxied(make) as world:
        ends = {ONE: world.end(PROXY), TWO: world.end(PROXY), SIX: world.end(PROXY)}
        for _ in range(3):
            for client, proxy in ends.items():
                await speaks_as(world, proxy, client, header_for(client))
        for client, proxy in reversed(ends.items()):
            await speaks_as(world, proxy, client)


def linked(world: World, client: Address, peer: End, channel: int | None) -> Flow:
    flow = Flow(client, world.listener, channel, world.open(), peer.address)
    world.engine.link(flow, Rule())
    return flow


@pytest.mark.parametrize("channel", [CHANNEL, None])
@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
async def test_a_call_by_a_proxy(make: Maker, channel: int | None, listen: str) -> None:
    async with proxied(make, listen=listen) as world:
        world.listener = world.listener._replace(ip=Address.of("127.0.0.1", 1).ip)
        proxy, peer = world.end(PROXY), world.end()
        await speaks_as(world, proxy, ONE, header_for(ONE))
        flow = linked(world, ONE, peer, channel)
        for header in (b"", header_for(ONE), header_for(ONE, b"\x04\0\0")):
            proxy.send(header + framed(flow, b"voice"), world.listener)
            assert await peer.receive() == b"voice"
            peer.send(b"and back", flow.relay)
            assert unframed(flow, await proxy.receive()) == b"and back"
        await speaks_as(world, proxy, ONE, header_for(ONE))
        world.engine.unlink(flow)
        proxy.send(framed(flow, b"voice"), world.listener)
        assert (await world.punt()).remote == ONE


async def test_who_goes_round_the_proxy_is_not_taken_for_its_client(make: Maker) -> None:
    async with proxied(make) as world:
        direct, proxy, peer = world.end("127.0.0.1"), world.end(PROXY), world.end()
        client = direct.address
        await speaks_as(world, proxy, client, header_for(client))
        flow = linked(world, client, peer, CHANNEL)
        world.holding.add((client, world.listener))
        await is_not_heard(world, direct, framed(flow, b"not mine"))
        await is_not_heard(world, direct, HELLO)
        await speaks_as(world, proxy, client)
        proxy.send(framed(flow, b"voice"), world.listener)
        assert await peer.receive() == b"voice"


async def test_who_holds_nothing_soon_loses_its_place_to_who_came_last(make: Maker) -> None:
    async with proxied(make) as world:
        direct, proxy = world.end("127.0.0.1"), world.end(PROXY)
        client = direct.address
        await speaks_as(world, proxy, client, header_for(client))
        for _ in range(2):
            await is_not_heard(world, direct, HELLO)
            listener_of(world).routes.by_client[client, world.listener].last_used -= REQUEST_SECONDS
            await speaks_as(world, proxy, client)
        listener_of(world).routes.by_client[client, world.listener].last_used -= REQUEST_SECONDS
        await speaks_as(world, direct, client)
        await is_not_heard(world, proxy, HELLO)
        await speaks_as(world, proxy, client, header_for(client))


async def test_a_proxy_cannot_name_who_is_here_without_it(make: Maker) -> None:
    async with proxied(make) as world:
        direct, proxy, peer = world.end("127.0.0.1"), world.end(PROXY), world.end()
        client = direct.address
        await speaks_as(world, direct, client)
        flow = linked(world, client, peer, CHANNEL)
        world.holding.add((client, world.listener))
        await is_not_heard(world, proxy, header_for(client) + framed(flow, b"not mine"))
        direct.send(framed(flow, b"voice"), world.listener)
        assert await peer.receive() == b"voice"
        await speaks_as(world, direct, client)
        world.engine.unlink(flow)
        world.holding.clear()
        await speaks_as(world, proxy, client, header_for(client))


async def test_a_port_that_is_another_clients_now(make: Maker) -> None:
    async with proxied(make) as world:
        proxy, peer = world.end(PROXY), world.end()
        await speaks_as(world, proxy, ONE, header_for(ONE))
        flow = linked(world, ONE, peer, CHANNEL)
        world.holding.add((ONE, world.listener))
        await speaks_as(world, proxy, TWO, header_for(TWO))
        assert await asyncio.wait_for(world.lost.get(), PATIENCE) == (ONE, world.listener)
        peer.send(b"for nobody", flow.relay)
        await speaks_as(world, proxy, TWO)
        world.engine.unlink(flow)
        await speaks_as(world, proxy, SIX, header_for(SIX))
        assert world.lost.empty()


async def test_a_client_at_another_port_of_its_proxy(make: Maker) -> None:
    async with proxied(make) as world:
        old, new, peer = world.end(PROXY), world.end(PROXY), world.end()
        await speaks_as(world, old, ONE, header_for(ONE))
        flow = linked(world, ONE, peer, CHANNEL)
        world.holding.add((ONE, world.listener))
        await speaks_as(world, new, ONE, header_for(ONE))
        peer.send(b"voice", flow.relay)
        assert unframed(flow, await new.receive()) == b"voice"
        await is_not_heard(world, old, HELLO)
        assert world.lost.empty()


async def test_the_proxy_itself_may_ask_whether_we_live(make: Maker) -> None:
    async with proxied(make) as world:
        proxy = world.end(PROXY)
        await speaks_as(world, proxy, proxy.address, LOCAL_HEADER)


def beside(make: Maker, before: World) -> World:
    """A newer one that listens at the same address."""

    def other(listen: Sequence[Address], streams: Streams) -> Engine:
        return make(listen, streams, partial(sockets.open_listener, shared=True))

    return World(other, at=before.listener, streams=BEHIND)


def keeps(old: World, client: Address, peer: End) -> Flow:
    """It has an allocation and a linked flow, and is to stay."""
    flow = linked(old, client, peer, CHANNEL)
    old.holding.add((client, old.listener))
    old.engine.pin(client, old.listener)
    return flow


async def test_a_pinned_client_stays_here_while_others_listen(make: Maker) -> None:
    async with proxied(make) as old:
        proxies = {ONE._replace(port=1 + number): old.end(PROXY) for number in range(20)}
        peer = old.end()
        flows = {}
        for client, proxy in proxies.items():
            await speaks_as(old, proxy, client, header_for(client))
            flows[client] = keeps(old, client, peer)
        async with beside(make, old) as new:
            for _ in range(2):
                for client, proxy in proxies.items():
                    for header in (b"", header_for(client)):
                        proxy.send(header + framed(flows[client], b"out"), old.listener)
                        assert await peer.receive_from() == (b"out", flows[client].relay)
                        peer.send(b"back", flows[client].relay)
                        assert unframed(flows[client], await proxy.receive()) == b"back"
                    await speaks_as(old, proxy, client, header_for(client))
                old.engine.stop_listening()
            assert new.punted.empty()
            strangers = {TWO._replace(port=60_000 + number): new.end(PROXY) for number in range(20)}
            for client, proxy in strangers.items():
                await speaks_as(new, proxy, client, header_for(client))


async def test_who_is_kept_no_longer_goes_on_as_before(make: Maker) -> None:
    async with proxied(make) as world:
        proxy, peer = world.end(PROXY), world.end()
        await speaks_as(world, proxy, ONE, header_for(ONE))
        flow = keeps(world, ONE, peer)
        world.engine.pin(ONE, world.listener)
        proxy.send(framed(flow, b"waiting"), world.listener)
        world.engine.unpin(ONE, world.listener)
        world.engine.unpin(ONE, world.listener)
        assert await peer.receive() == b"waiting"
        assert listener_of(world).routes.by_client[ONE, world.listener].own_socket is None
        await speaks_as(world, proxy, ONE)


async def test_who_is_kept_moves_with_its_port(make: Maker) -> None:
    async with proxied(make) as world:
        old, new, peer = world.end(PROXY), world.end(PROXY), world.end()
        await speaks_as(world, old, ONE, header_for(ONE))
        flow = keeps(world, ONE, peer)
        await speaks_as(world, new, ONE, header_for(ONE))
        own = listener_of(world).routes.by_client[ONE, world.listener].own_socket
        assert own is not None
        assert own.remote == new.address
        peer.send(b"back", flow.relay)
        assert unframed(flow, await new.receive()) == b"back"
        await speaks_as(world, new, TWO, header_for(TWO))
        assert await asyncio.wait_for(world.lost.get(), PATIENCE) == (ONE, world.listener)
        peer.send(b"for nobody", flow.relay)
        await speaks_as(world, new, TWO)
        world.engine.unpin(ONE, world.listener)
        world.engine.unlink(flow)
        await speaks_as(world, old, SIX, header_for(SIX))


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("is_proxied", [True, False])
async def test_what_a_new_client_socket_catches_may_be_for_others(
    *, is_proxied: bool, exclusive: bool
) -> None:
    """The client that a proxy speaks for is looked up, with a header or without; the proxy's own address
    holds nothing."""
    async with World(partial(Portable, exclusive=exclusive), listen="0.0.0.0", streams=BEHIND) as world:
        listener = listener_of(world)
        world.listener = world.listener._replace(ip=Address.of("127.0.0.1", 1).ip)
        proxy, holder, other, direct = world.end(PROXY), world.end(PROXY), world.end(PROXY), world.end()
        await speaks_as(world, proxy, ONE, header_for(ONE))
        await speaks_as(world, holder, TWO, header_for(TWO))
        kept = ONE if is_proxied else direct.address
        world.holding = {(client, world.listener) for client in (TWO, kept)}
        world.engine.pin(kept, world.listener)
        own = (
            listener.routes.by_client[ONE, world.listener].own_socket
            or listener.client_sockets.by_client[kept, world.listener]
        )
        for end, data in [
            (holder, b"unnamed"),
            (holder, header_for(TWO) + b"named"),
            (other, b"no header"),
            (other, header_for(SIX)[:-1]),
            (other, header_for(SIX) + b"of others"),
        ]:
            listener.epoll.body[: len(data)] = data
            own.on_stray(len(data), sockets.sockaddr(end.address))
        assert [(packet.remote, packet.data) for packet in drained(world)] == [
            (TWO, b"unnamed"),
            (TWO, b"named"),
            *([(SIX, b"of others")] if exclusive else []),
        ]
        assert (SIX in {client for client, _ in listener.routes.by_client}) == exclusive


async def test_direct_clients_have_sockets_of_their_own(make: Maker) -> None:
    async with proxied(make) as world:
        client, peer = world.end("127.0.0.1"), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        assert list(listener_of(world).client_sockets.by_client) == [(client.address, world.listener)]
        client.send(framed(flow, b"voice"), world.listener)
        assert await peer.receive() == b"voice"
        world.engine.unlink(flow)
        await speaks_as(world, client, client.address)


CLIENTS = [Address.of(f"127.0.0.{4 + number}", 51000) for number in range(3)]
PORTS = [("127.0.0.2", 6000 + number) for number in range(3)]
Operation = tuple[str, SockAddr, Address]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["named", "named", "unnamed", "direct", "hold", "let go", "keep", "time goes by"]),
        st.sampled_from(PORTS),
        st.sampled_from(CLIENTS),
    ),
    max_size=40,
)


class Model:
    """By which port each client of a proxy comes, and which clients hold an allocation."""

    def __init__(self) -> None:
        self.ways: dict[Address, SockAddr] = {}
        self.holding: set[Address] = set()
        self.recent: set[Address] = set()  # clients of proxies that were heard a moment ago

    def named(self, port: SockAddr, client: Address) -> Address | None:
        for before in [one for one, way in self.ways.items() if way == port and one != client]:
            del self.ways[before]
            self.holding.discard(before)  # lost with its port
        if client not in self.ways and client in self.holding:  # it came by itself
            return None
        self.ways[client] = port
        self.recent.add(client)
        return client

    def unnamed(self, port: SockAddr, _: Address) -> Address | None:
        client = next((one for one, way in self.ways.items() if way == port), None)
        if client is not None:
            self.recent.add(client)
        return client

    def direct(self, _: SockAddr, client: Address) -> Address | None:
        if client in self.ways and client in self.holding | self.recent:
            return None
        self.ways.pop(client, None)
        return client


@given(OPERATIONS)
def test_no_client_is_ever_taken_for_another(operations: list[Operation]) -> None:
    asyncio.run(run(operations))


async def run(operations: list[Operation]) -> None:
    async with World(Portable, streams=BEHIND) as world:
        listener, here, model = listener_of(world), world.listener, Model()
        for what, port, client in operations:
            if what in ("named", "unnamed", "direct"):
                data = (header_for(client) if what == "named" else b"") + HELLO
                listener.epoll.body[: len(data)] = data
                source = sockets.sockaddr(client) if what == "direct" else port
                listener.receive(len(data), source, here.ip)
                heard = getattr(model, what)(port, client)
                assert drained(world) == ([Packet(here, heard, HELLO)] if heard else [])
            else:
                change(world, model, what, client)
            await asyncio.sleep(0)
            world.holding = {(one, here) for one in model.holding}
            routes = listener.routes
            assert {name[0]: one.port[0] for name, one in routes.by_client.items()} == model.ways
            assert set(routes.by_port.values()) == set(routes.by_client.values())


def change(world: World, model: Model, what: str, client: Address) -> None:
    if what == "hold":
        model.holding.add(client)
    elif what == "let go":
        model.holding.discard(client)
        world.engine.unpin(client, world.listener)
    elif what == "time goes by":
        model.recent.clear()
        for one in listener_of(world).routes.by_client.values():
            one.last_used -= REQUEST_SECONDS
    elif client in model.holding:
        world.engine.pin(client, world.listener)


def drained(world: World) -> list[Packet]:
    return [world.punted.get_nowait() for _ in range(world.punted.qsize())]


def route(number: int) -> Route:
    here = Address.of("192.0.2.1", 3478)
    return Route((ONE._replace(port=number), here), (("192.0.2.9", number), here.ip), b"", DISCARD)


def added(routes: Routes, numbers: range) -> list[int]:
    """The client's ports of those that are left, the longest unused first."""
    for number in numbers:
        routes.add(route(number))
    assert set(routes.by_client.values()) == set(routes.by_port.values())
    return [one.key[0].port for one in routes.by_port.values()]


def test_the_longest_unused_is_forgotten() -> None:
    routes = Routes(lambda _: False, most=3)
    assert added(routes, range(1, 4)) == [1, 2, 3]
    assert routes.use(route(1).port) is not None
    assert added(routes, range(4, 6)) == [1, 4, 5]


def test_who_holds_something_is_kept_however_many_come() -> None:
    held: set[ClientKey] = {route(number).key for number in range(100)}
    routes = Routes(held.__contains__, most=100)
    left = added(routes, range(20_000))
    assert set(range(100)) <= set(left)
    assert len(left) <= 100 + 100 // (TRIES - 1) + TRIES
    held.clear()
    assert len(added(routes, range(20_000, 20_100))) == 100


async def test_a_flood_of_names_costs_little(make: Maker) -> None:
    async with proxied(make) as world:
        routes, proxies = listener_of(world).routes, [world.end(PROXY) for _ in range(20)]
        routes.most = 10
        world.holding.add((ONE, world.listener))
        await speaks_as(world, proxies[0], TWO, header_for(TWO))
        for number, proxy in enumerate(proxies):
            await speaks_as(
                world, proxy, ONE._replace(port=1 + number), header_for(ONE._replace(port=1 + number))
            )
        assert len(routes.by_port) == len(routes.by_client) == 10
