"""The operator's socket: who may open it, what it says, and a ban without ever seeing an address."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from server import admin
from server.announcements import Ended
from server.config.site import Site
from server.relay_watch import SILENT, RelayWatch
from server.store.lasting import RETRY_SECONDS
from server.store.sqlite import FILE
from tests.server.relays import Relays
from tests.server.serving import PATIENCE, Service, serving
from tests.server.signalling.descriptions import sdp


def operator(service: Service) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(service.folder / "server.sock"))
    return httpx.AsyncClient(transport=transport, base_url="http://calln")


def test_only_the_owner_may_open_it(service: Service) -> None:
    mode = (service.folder / "server.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_a_report_leads_to_a_ban_and_no_address_is_shown(service: Service) -> None:
    one, other = await service.couple()
    await one.tell("report", reason="minor")
    code = (await one.hear("reported"))["code"]
    async with operator(service) as client:
        listed = await client.get("/reports")
        [row] = listed.json()["reports"]
        assert (row["code"], row["reason"]) == (code, "minor")
        names = service.web.hub.lobby.reports.pseudonyms
        both = [
            names.name(ip_address(address), service.web.hub.clock()) for address in ("127.0.0.3", "127.0.0.2")
        ]
        assert [row["reported"], row["reporter"]] == both
        assert abs(row["time"] - service.web.hub.wall()) < 10
        banned = await client.post("/bans", json={"code": code.lower(), "seconds": 3600, "reason": "seen"})
        assert banned.status_code == 200
        assert abs(banned.json()["until"] - service.web.hub.wall() - 3600) < 10
    assert await other.closed() == 4403
    assert (await one.hear("ended"))["reason"] == "banned"
    [ban] = service.web.store.bans()
    assert (str(ban.network), ban.reason) == ("127.0.0.3/32", "seen")
    assert "127.0.0.3" not in listed.text + banned.text


PUBLIC = "https://call.example.org"
REPORTED = [  # site.url, server.trusted_proxies, the reported address -> status
    (PUBLIC, (), "127.0.0.1", 409),
    (PUBLIC, (), "::1", 409),
    (PUBLIC, (), "192.0.2.7", 200),
    (PUBLIC, ("10.0.0.0/24",), "10.0.0.5", 409),
    (PUBLIC, ("10.0.0.0/24",), "10.0.1.5", 200),
    (None, ("127.0.0.1/32",), "127.0.0.1", 409),
    (None, (), "127.0.0.1", 200),
]


@pytest.mark.parametrize(("url", "proxies", "address", "status"), REPORTED)
async def test_a_reverse_proxy_is_not_banned(
    tmp_path: Path, url: str | None, proxies: tuple[str, ...], address: str, status: int
) -> None:
    async with serving(tmp_path, Site(url=url, state_dir=tmp_path), trusted_proxies=proxies) as service:
        hub = service.web.hub
        report = hub.lobby.reports.add("call", "me", "spam", ip_address(address), hub.clock())
        async with operator(service) as client:
            answer = await client.post("/bans", json={"code": report.code, "seconds": 60})
        assert answer.status_code == status
        assert len(hub.bans) == (status == 200)
        assert ("server.trusted_proxies" in answer.text) is (status == 409)
        assert address not in answer.text


async def test_a_report_is_gone_after_half_an_hour(service: Service) -> None:
    one, _ = await service.couple()
    await one.tell("report", reason="spam")
    code = (await one.hear("reported"))["code"]
    service.later += 30 * 60
    async with operator(service) as client:
        assert (await client.get("/reports")).json() == {"reports": []}
        assert (await client.post("/bans", json={"code": code})).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"code":"K7Q2-M9XD"}', 404),
        (b'{"code":"K7Q2-M9XD","seconds":null,"reason":""}', 404),
        (b"", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"code":5}', 400),
        (b'{"code":"K7Q2-M9XD","seconds":0}', 400),
        (b'{"code":"K7Q2-M9XD","seconds":8639913600}', 404),
        (b'{"code":"K7Q2-M9XD","seconds":8639913601}', 400),
        (b'{"code":"K7Q2-M9XD","seconds":1e9}', 400),
        (b'{"code":"K7Q2-M9XD","reason":null}', 400),
        (b'{"code":""}', 404),
        (b'{"network":"0.0.0.0/0"}', 400),
        (b'{"network":7}', 400),
        (b'{"code":"' + b"x" * 5000 + b'"}', 400),
    ],
)
async def test_wishes(service: Service, body: bytes, status: int) -> None:
    async with operator(service) as client:
        answer = await client.post("/bans", content=body)
    assert answer.status_code == status
    assert answer.json()["message"]


async def test_readiness_ends_when_draining_begins(service: Service) -> None:
    one, _ = await service.couple()
    async with operator(service) as client:
        assert (await client.get("/readyz")).status_code == 200
        service.shutdown.request()
        await one.say("ping")
        await one.hear("pong")
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "draining\n")
        assert "calln_draining 1.0" in (await client.get("/metrics")).text


async def test_a_relay_that_does_not_hear_us_is_named(service: Service) -> None:
    """Calls are made all the same: most need no relay, or another one is there."""
    links = service.web.links
    away = Relays(None)
    links.start(lambda host: away.open_way)
    async with operator(service) as client:
        async with asyncio.timeout(PATIENCE):
            while "cannot be reached" not in links.states()[0].problem:
                await asyncio.sleep(0.01)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.text) == (
            200,
            "ready\nrelay turn.example.org: it cannot be reached\n",
        )
        row = {"host": "turn.example.org", "problem": "it cannot be reached", "untold": 0}
        row |= {"lives": True, "answers": True}  # it was not asked
        assert (await client.get("/relays")).json() == {"relays": [row], "bans_left_out": 0}
        assert 'calln_relay_told{relay="turn.example.org"} 0.0' in (await client.get("/metrics")).text
    await links.finish()


async def test_a_relay_that_is_silent_is_named_and_calls_hear_of_it(service: Service) -> None:
    """It is the only one, so pages are told of it again."""
    one, other = await service.couple()
    watch = service.web.watch
    await fall_silent(watch)
    for browser in (one, other):
        await browser.hear("ice")
    async with operator(service) as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.text) == (200, f"ready\nrelay turn.example.org: {SILENT}\n")
        assert 'calln_relay_lives{relay="turn.example.org"} 0.0' in (await client.get("/metrics")).text
        await watch.stop_asking()


async def fall_silent(watch: RelayWatch) -> None:
    """Its relays answer nothing."""

    async def ask() -> bool:
        return False

    watch.start(lambda host: ask)
    async with asyncio.timeout(PATIENCE):
        while not watch.troubles():
            await asyncio.sleep(0.01)


async def test_what_happens_at_the_page_is_to_be_told(service: Service) -> None:
    known = service.web.links.announcements
    one, other = await service.couple()
    await one.tell("offer", sdp=sdp())
    await other.hear("offer")
    await other.tell("answer", sdp=sdp())
    await one.hear("answer")
    [pair] = known.vouched()
    assert pair.ufrags == ("abcd", "abcd")
    await one.say("stop")
    await other.hear("ended")
    assert list(known.everything()) == [Ended(user) for user in pair.users]
    service.web.hub.bans.add(ip_network("192.0.2.7"), service.web.hub.wall(), 60, "")
    service.web.hub.close_banned()
    assert list(known.bans()) == [ip_network("192.0.2.7")]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/metrics", 200), ("/readyz", 200), ("/reports", 404), ("/bans", 404), ("/relays", 404)],
)
async def test_over_tcp_there_are_numbers_only(tmp_path: Path, path: str, status: int) -> None:
    async with serving(tmp_path) as service:
        app: Any = admin.metrics_app(service.web.hub, service.web.links, service.web.watch)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            assert (await client.get(path)).status_code == status


async def test_a_network_is_banned_and_a_file_that_cannot_be_written_is_told(service: Service) -> None:
    visitor = await service.visitor("127.0.0.9")
    async with operator(service) as client:
        assert (await client.get("/store")).json() == {"problem": None}
        answer = await client.post("/bans", json={"network": "198.51.100.0/24", "seconds": 60})
        assert answer.json()["problem"] is None
        lock = sqlite3.connect(service.folder / FILE, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        answer = await client.post("/bans", json={"network": "127.0.0.9"})
        problem = answer.json()["problem"]
        assert problem.endswith("database is locked")
        assert await visitor.closed() == 4403
        assert (await client.get("/store")).json() == {"problem": problem}
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        assert "bans and calls are kept in memory only\n" in ready.text
        assert "calln_store_problem 1.0" in (await client.get("/metrics")).text
        lock.close()
        service.later += RETRY_SECONDS
        while service.web.store.problem is not None:
            await asyncio.sleep(0.01)
        assert "calln_store_problem 0.0" in (await client.get("/metrics")).text
