"""The epoll alone: its bounds per wake-up, and what it hands on when."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from time import monotonic

import pytest

from turn.engines import NOT_RUNNING, Above
from turn.engines.loop.epoll import MAX_READY, ROUNDS, SHARED_FACTOR, Epoll
from turn.flows import Address, Packet

PACKET = Packet(Address.of("127.0.0.1", 1), Address.of("127.0.0.1", 2), b"data")


def busy_sockets(count: int, packets: int) -> list[socket.socket]:
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for sock in socks:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        for _ in range(packets):
            sock.sendto(b"x", sock.getsockname())
    return socks


def test_a_wake_up_takes_a_bounded_number_of_packets() -> None:
    epoll, taken = Epoll(), [0] * 100
    socks = busy_sockets(len(taken), 40)
    for index, sock in enumerate(socks):

        def reader(most: int, index: int = index, sock: socket.socket = sock) -> None:
            for _ in range(most):
                with suppress(BlockingIOError):
                    sock.recv_into(epoll.body)
                    taken[index] += 1

        epoll.register(sock, reader)
    epoll.wake_up()
    assert max(taken) <= sum(ROUNDS) == 16
    assert sum(taken) == MAX_READY * sum(ROUNDS)
    for _ in range(10):
        epoll.wake_up()
    assert taken == [40] * len(taken)  # nobody starves
    for sock in socks:
        epoll.close_socket(sock)
    epoll.close()


def test_a_socket_of_many_senders_is_served_in_every_crowd() -> None:
    epoll = Epoll()
    turns: list[int] = []
    socks = busy_sockets(MAX_READY, 1)
    for sock in socks:
        epoll.register(sock, lambda most: None)
    (shared,) = busy_sockets(1, 0)  # nothing waits in it
    epoll.register_shared(shared, turns.append)
    epoll.wake_up()
    assert turns == [SHARED_FACTOR * most for most in ROUNDS]
    epoll.close_socket(socks.pop())
    epoll.wake_up()
    assert len(turns) == len(ROUNDS)
    socks += busy_sockets(1, 1)
    epoll.register(socks[-1], lambda most: None)
    epoll.close_socket(shared)
    epoll.close_socket(shared)
    epoll.wake_up()
    assert len(turns) == len(ROUNDS)
    for sock in socks:
        epoll.close_socket(sock)
    epoll.close()


def test_a_socket_closed_by_another_of_the_same_wake_up_is_left_alone() -> None:
    epoll = Epoll()
    socks = busy_sockets(2, 1)
    left = list(socks)

    def drop_the_other(_most: int) -> None:
        if len(left) == 2:
            epoll.close_socket(left.pop())

    for sock in socks:
        epoll.register(sock, drop_the_other)
    socks[0].sendto(b"x", left[0].getsockname())
    epoll.wake_up()
    assert [sock.fileno() == -1 for sock in socks] == [False, True]
    epoll.close_socket(socks[0])
    epoll.close()


async def test_what_comes_up_later_comes_in_the_next_turn() -> None:
    epoll = Epoll()
    punted: list[Packet] = []
    task = asyncio.ensure_future(epoll.run(Above(punted.append)))
    await asyncio.sleep(0)
    epoll.punt(PACKET)
    assert punted == [PACKET]
    epoll.punt_later(PACKET)
    epoll.punt_later(PACKET)
    assert punted == [PACKET]
    await asyncio.sleep(0)
    assert punted == [PACKET] * 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    epoll.punt(PACKET)
    assert punted == [PACKET] * 3
    epoll.close()


async def test_what_takes_too_long_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turn.engines.loop.epoll.TICK", 0.01)
    epoll, looks = Epoll(), asyncio.Queue[float]()
    epoll.ticks.append(looks.put_nowait)
    task = asyncio.ensure_future(epoll.run(NOT_RUNNING))
    async with asyncio.timeout(5):
        assert await looks.get() <= await looks.get() <= monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    epoll.close()


async def test_who_is_lost_is_told_in_the_next_turn() -> None:
    epoll, lost = Epoll(), list[tuple[Address, Address]]()
    task = asyncio.ensure_future(epoll.run(NOT_RUNNING._replace(lost=lambda *pair: lost.append(pair))))
    await asyncio.sleep(0)
    epoll.report_lost_later(PACKET.remote, PACKET.local)
    assert lost == []
    await asyncio.sleep(0)
    assert lost == [(PACKET.remote, PACKET.local)]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    epoll.report_lost(PACKET.remote, PACKET.local)
    assert len(lost) == 1
    epoll.close()


async def test_each_turn_hands_on_what_waited_before_it() -> None:
    """What answers a packet with another for later must not keep the loop from everything else."""
    epoll, seen = Epoll(), 0

    def punt(packet: Packet) -> None:
        nonlocal seen
        seen += 1
        epoll.punt_later(packet)

    task = asyncio.ensure_future(epoll.run(Above(punt)))
    await asyncio.sleep(0)
    epoll.punt_later(PACKET)
    for _ in range(5):
        await asyncio.sleep(0)
    assert seen == 5
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    epoll.close()


def fail(_now: float = 0) -> None:
    raise KeyError("canary")


async def test_one_sockets_fault_is_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a reader, in a tick, in what was put off: the error is reported, and all goes on."""
    monkeypatch.setattr("turn.engines.loop.epoll.TICK", 0.01)
    epoll, told, read_from, ticked = Epoll(), asyncio.Queue[str](), set[int](), asyncio.Queue[float]()
    socks = busy_sockets(4, 1)
    for sock in socks:

        def reader(_most: int, sock: socket.socket = sock) -> None:
            sock.recv_into(epoll.body)
            read_from.add(sock.fileno())
            epoll.batch.is_open = True
            raise ValueError

        epoll.register(sock, reader)
    epoll.ticks += [fail, ticked.put_nowait]
    task = asyncio.ensure_future(
        epoll.run(NOT_RUNNING._replace(unexpected=lambda error: told.put_nowait(type(error).__name__)))
    )
    async with asyncio.timeout(5):
        assert [await told.get() for _ in socks] == ["ValueError"] * 4
        assert not epoll.batch.is_open
        assert await ticked.get() < await ticked.get()
        epoll.call_soon(fail)
        epoll.call_soon(lambda: told.put_nowait("later"))
        while await told.get() != "later":
            pass
    assert len(read_from) == 4
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for sock in socks:
        epoll.close_socket(sock)
    epoll.close()


def test_an_error_is_raised_where_nothing_handles_it() -> None:
    epoll = Epoll()
    with pytest.raises(KeyError):
        epoll.attempt(fail)
    epoll.close()
