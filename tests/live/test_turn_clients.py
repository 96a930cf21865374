"""Other people's TURN clients against the running relay: turnutils, aioice and Chromium; UDP, TCP and TLS."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Playwright

from host.tls import Certificate
from tests.live.turn_clients import (
    HOSTS,
    PASSWORD,
    PATIENCE,
    ROWS,
    USER,
    Heard,
    Relay,
    aioice_client,
    begin,
    begin_relay,
    closed,
    lost,
    talk,
    turnutils,
    uclient,
)
from tests.ports import free_port
from tests.turn.engines.certificates import certificate
from tests.turn.engines.tcp.certificate_shown import shown
from turn.flows import Address

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMS = {"tcp": ("-t",), "tls": ("-t", "-S")}
STREAM_ROWS = {
    f"{row}, over {transport}": (*ROWS[row], *flags)
    for transport, flags in STREAMS.items()
    for row in (
        "channels to a peer",
        "indications to a peer, no RTCP",
        "channels to each other",
        "time-limited, to each other",
    )
}
ROWS.update(STREAM_ROWS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    """All rows of uclient begin together: each takes some seconds, of which it sleeps most."""
    relay = Relay(free_port(), free_port(), free_port(), {})
    processes = [await begin_relay(relay, tmp_path_factory.mktemp("relay"))]
    if shutil.which("turnutils_uclient"):
        listen = [word for host in HOSTS.values() for word in ("-L", host)]
        processes.append(await begin("turnutils_peer", *listen, "-p", str(relay.peer)))
        rows = [(row, family) for row in ROWS for family in HOSTS]
        relay.said.update({key: asyncio.create_task(uclient(relay, *key)) for key in rows})
    yield relay
    for process in reversed(processes):
        process.kill()  # told to end, the relay would let what lives go on
        await process.communicate()


@turnutils
@pytest.mark.parametrize("family", HOSTS)
@pytest.mark.parametrize("row", ROWS)
async def test_uclient_loses_nothing(relay: Relay, row: str, family: str) -> None:
    said = await relay.said[row, family]
    assert lost(said) == 0, said


@pytest.mark.parametrize("over", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("size", [1, 160, 1200])
async def test_aioice_hears_its_echo(relay: Relay, size: int, over: str) -> None:
    loop, host = asyncio.get_running_loop(), HOSTS["ipv4"]
    echo, _ = await loop.create_datagram_endpoint(lambda: Heard(echo=True), (host, 0))
    transport, heard = await aioice_client(relay, host, (USER, PASSWORD), over)
    there = echo.get_extra_info("sockname")
    for number in range(50):
        data = bytes([number]) * size
        transport.sendto(data, there)
        assert await heard.next() == data
    await closed(transport)
    echo.close()


@pytest.mark.parametrize("ways", [("udp", "udp"), ("udp", "tcp"), ("tcp", "tls"), ("tls", "tls")])
async def test_two_aioice_clients_hear_each_other(relay: Relay, ways: tuple[str, str]) -> None:
    clients = [await aioice_client(relay, HOSTS["ipv4"], (USER, PASSWORD), over) for over in ways]
    places = [transport.get_extra_info("sockname") for transport, _ in clients]
    for (transport, _), there in zip(clients, reversed(places), strict=True):
        transport.sendto(b"knock", there)  # binds the channel; the other side may have no permission yet
    await asyncio.sleep(0.5)
    for number in range(50):
        for (transport, _), there in zip(clients, reversed(places), strict=True):
            transport.sendto(b"voice %d" % number, there)
    for _, heard in clients:
        data = [await heard.next()]
        while data[-1] != b"voice 49":
            data.append(await heard.next())
        assert [one for one in data if one != b"knock"] == [b"voice %d" % number for number in range(50)]
    for transport, _ in clients:
        await closed(transport)


async def test_a_renewed_certificate_is_shown_and_calls_go_on(tmp_path: Path) -> None:
    files = Certificate(tmp_path / "chain.pem", tmp_path / "key.pem")
    put(certificate(), files)
    relay = Relay(free_port(), free_port(), free_port(), {})
    process = await begin_relay(relay, tmp_path, files)
    echo, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Heard(echo=True), (HOSTS["ipv4"], 0)
    )
    client, heard = await aioice_client(relay, HOSTS["ipv4"], (USER, PASSWORD), "tls")
    door = Address.of(HOSTS["ipv4"], relay.tls, "tls")
    seen = [await shown(door)]
    assert process.stdout
    for now in (certificate("other"), Certificate(certificate().chain, certificate("other").key)):
        put(now, files)
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while b"the configuration" not in await process.stdout.readline():
                continue
        client.sendto(b"still here", echo.get_extra_info("sockname"))
        assert await heard.next() == b"still here"
        seen.append(await shown(door))
    assert seen[0] != seen[1] == seen[2]  # a key that does not belong to it changes nothing
    await closed(client)
    echo.close()
    process.kill()
    await process.communicate()


def put(made: Certificate, files: Certificate) -> None:
    for source, target in zip(made, files, strict=True):
        target.write_bytes(source.read_bytes())


@pytest.mark.skipif(
    shutil.which("certutil") is None, reason="Debian's libnss3-tools is not installed: no certutil"
)
@pytest.mark.parametrize("over", ["udp", "tcp", "tls"])
async def test_chromium_talks_through_the_relay_alone(
    relay: Relay, playwright: Playwright, tmp_path: Path, over: str
) -> None:
    assert await talk(relay, playwright, tmp_path, over) == ["there and back", "relay", over]
