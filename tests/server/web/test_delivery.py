"""What is delivered to slow and lost browsers, and what a full disk delays."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing

import pytest

from server.signalling.outbox import MAX_BYTES
from server.signalling.rates import (
    MESSAGE_RATE,
)
from server.store.lasting import RETRY_SECONDS
from server.store.sqlite import FILE, open_store
from server.web.browser_socket import CLOSE_SECONDS
from tests.server.serving import Service
from tests.server.signalling.descriptions import sdp
from turn.limits.addresses import AddressRates
from turn.limits.buckets import Bucket, Buckets

LONG = sdp("a=x:" + "x" * 50_000)  # large enough to fill what the kernel holds for a reader that sleeps


async def test_too_much_for_one_who_is_away_ends_the_call(service: Service) -> None:
    one, other = await service.couple()
    one.cut()
    await other.hear("partner")
    lift_sizes(service)
    for _ in range(6):  # 300 KB, and no time has passed that could end it otherwise
        await other.tell("offer", sdp=sdp("a=x:" + "y" * 50_000))
    assert (await other.hear("ended"))["reason"] == "vanished"
    await other.hear("waiting")
    assert not service.web.hub.resumable


def lift_sizes(service: Service) -> None:
    """Who is here may send as much as it likes."""
    hub = service.web.hub
    hub.admission.large_messages = AddressRates(Buckets(0, 0, b""))
    for client in hub.clients:
        client.size_limit = Bucket(0, 0)


async def test_a_slow_reader_is_put_out_and_holds_little(service: Service) -> None:
    """One who stops reading gets so much and no more; the other is told, and goes on."""
    one, other = await service.couple()
    lift_sizes(service)
    other.connection.transport.pause_reading()
    [client] = [client for client in service.web.hub.clients if str(client.address) == "127.0.0.3"]
    most = 0
    while client in service.web.hub.clients:
        await one.tell("offer", sdp=LONG)
        service.later += 1 / MESSAGE_RATE.per_second
        most = max(most, client.outbox.bytes)
        await asyncio.sleep(0)
    assert len(LONG) < most <= MAX_BYTES
    assert (await one.hear("ended"))["reason"] == "vanished"
    await one.hear("waiting")
    assert client.websocket.transport.is_closing() or client.websocket.close_sent
    await asyncio.sleep(CLOSE_SECONDS + 0.5)
    other.connection.transport.resume_reading()
    assert await other.closed() == 1006


async def test_what_a_slow_reader_is_told_when_it_reads_again(service: Service) -> None:
    one, other = await service.couple()
    lift_sizes(service)
    other.connection.transport.pause_reading()
    [client] = [client for client in service.web.hub.clients if str(client.address) == "127.0.0.3"]
    client.websocket.transport.set_write_buffer_limits(1024)
    while client in service.web.hub.clients:
        await one.tell("offer", sdp=LONG)
        service.later += 1 / MESSAGE_RATE.per_second
        await asyncio.sleep(0)
    other.connection.transport.resume_reading()
    assert await other.closed() == 1013


async def test_a_disk_that_takes_no_more_delays_the_row_and_not_the_visitors(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = await service.couple()
    await service.connect(one, other)
    lock = sqlite3.connect(service.folder / FILE, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    service.later += 42
    await one.say("stop")
    await one.hear("stopped")
    assert (await other.hear("ended"))["reason"] == "left"
    await other.say("ping")
    await other.hear("pong")
    [said] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "database is locked" in said.getMessage()
    lock.close()
    service.later += RETRY_SECONDS
    while service.web.store.problem is not None:
        await asyncio.sleep(0.01)
    with closing(open_store(service.folder)) as written:
        assert len(written.calls()) == 1
