"""The bad network of the live tests is as bad as it says, and equally bad in every run."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.live.impairment import HERE, Impairment, Network, Weather
from tests.live.turn_clients import Heard

PACKETS = 5000


def test_it_loses_repeats_and_delays_as_it_says() -> None:
    weather = Weather(Network(), "some seed")
    fates = [weather.next() for _ in range(PACKETS)]
    copies = Counter(map(len, fates))
    assert copies[0] / PACKETS == pytest.approx(0.10, abs=0.015)
    assert copies[2] / PACKETS == pytest.approx(0.02, abs=0.006)
    waits = [wait for fate in fates for wait in fate]
    assert 0.020 <= min(waits) < 0.021
    assert 0.059 < max(waits) <= 0.060


def test_the_same_seed_is_the_same_network() -> None:
    networks = [Weather(Network(), seed) for seed in ("one", "one", "other")]
    one, again, other = ([weather.next() for _ in range(50)] for weather in networks)
    assert one == again != other


async def test_packets_go_there_and_back() -> None:
    loop = asyncio.get_running_loop()
    echo, _ = await loop.create_datagram_endpoint(lambda: Heard(echo=True), (HERE, 0))
    impairment = Impairment(echo.get_extra_info("sockname")[1], "test", Network(0.0, 0.0, 0.0, 5.0))
    there = HERE, await impairment.open()
    client, heard = await loop.create_datagram_endpoint(Heard, remote_addr=there)
    sent = {b"packet %d" % number for number in range(20)}
    for packet in sent:
        client.sendto(packet)
    assert {await heard.next() for _ in sent} == sent
    assert impairment.fates == {1: 40}
    client.close()
    await impairment.close()
    echo.close()
