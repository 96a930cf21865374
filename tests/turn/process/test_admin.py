"""The operator's socket: who may use it, what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import httpx
import pytest

from host.startup import Unavailable
from tests.turn.engines.world import PATIENCE, End, free
from tests.turn.process.operator import controlled, door, raises
from tests.turn.service.caller import Caller
from tests.turn.service.running import ALICE, Running, turn
from turn.flows import Address
from turn.process import admin, upgrade


async def test_only_the_owner_may_open_it_and_it_goes_with_the_relay(tmp_path: Path) -> None:
    place = tmp_path / "new" / upgrade.SOCKET
    async with Running() as world, door(controlled(world), place.parent):
        mode = place.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert not list(place.parent.iterdir())


async def test_a_newer_relay_takes_the_place(tmp_path: Path) -> None:
    async with Running() as world:
        async with admin.operator_serving(controlled(world), tmp_path):
            newer = door(controlled(world), tmp_path)
            operator = await newer.__aenter__()
        assert (await operator.get("/readyz")).text == "ready\n"
        await newer.__aexit__(None, None, None)
    assert not list(tmp_path.iterdir())


async def test_sessions_are_shown_and_ended(tmp_path: Path) -> None:
    async with Running() as world, door(controlled(world), tmp_path) as operator:
        caller = Caller(world, *ALICE)
        relay = await caller.allocate()
        [shown] = (await operator.get("/sessions")).json()["sessions"]
        seconds = shown.pop("seconds_left")
        assert 590 < seconds <= 600
        assert shown == {
            "id": f"{relay.host}:{relay.port}",
            "user": "alice",
            "client": str(caller.end.address),
            "permissions": 0,
            "channels": 0,
            "flows": 0,
        }
        assert (await operator.post("/kill", json={"id": shown["id"]})).json() == {"ended": 1}
        gone = await operator.post("/kill", json={"user": "alice"})
        assert (gone.status_code, gone.json()["message"].split(";")[0]) == (404, "there is no such session")


WISHES = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b'{"user":5}',
    b'{"id":"a","user":"b"}',
    b'{"other":"a"}',
    b" " * 5000,
    b"\xff",
]


@pytest.mark.parametrize("body", WISHES)
async def test_wishes_that_mean_nothing(body: bytes, tmp_path: Path) -> None:
    async with Running() as world, door(controlled(world), tmp_path) as operator:
        answer = await operator.post("/kill", content=body)
    assert answer.status_code == 400
    assert answer.json() == {"message": "either an id or a user belongs here"}


async def test_draining_is_seen(tmp_path: Path) -> None:
    async with Running() as world:
        control = controlled(world)
        async with door(control, tmp_path) as operator:
            assert (await operator.get("/readyz")).status_code == 200
            assert (await operator.post("/drain")).json() == {"draining": True, "sessions": 0}
            await control.until_ended()
            answer = await operator.get("/readyz")
            assert (answer.status_code, answer.text) == (503, "draining\n")
            assert "calln_relay_draining 1.0" in (await operator.get("/metrics")).text


async def test_a_reload_says_what_is_wrong(tmp_path: Path) -> None:
    async with Running() as world:
        control = controlled(world)
        async with door(control, tmp_path) as operator:
            assert (await operator.post("/reload")).json() == {"waiting": []}
            control.read = lambda: raises("c.yaml:1:2: turn.relm: unknown key")
            answer = await operator.post("/reload")
    assert answer.status_code == 422
    assert "c.yaml:1:2: turn.relm" in answer.json()["message"]


async def test_stats_hold_figures_and_nobody(tmp_path: Path) -> None:
    async with Running() as world, door(controlled(world), tmp_path) as operator:
        await Caller(world, *ALICE).allocate()
        answer = await operator.get("/stats")
    live = next(one for one in answer.json()["figures"] if one["name"] == "calln_relay_allocations")
    assert (live["labels"], live["value"]) == ({"transport": "udp", "family": "ipv4"}, 1)
    assert "alice" not in answer.text
    assert "127.0.0.1" not in answer.text


PATHS = [("/metrics", 200), ("/readyz", 200), ("/sessions", 404), ("/stats", 404), ("/kill", 404), ("/", 404)]


@pytest.mark.parametrize(("path", "status"), PATHS)
async def test_over_tcp_there_are_numbers_only(path: str, status: int) -> None:
    async with Running() as world:
        transport = httpx.ASGITransport(admin.metrics_app(controlled(world)))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            assert (await client.get(path)).status_code == status


async def test_numbers_at_an_address_of_their_own_until_the_end(tmp_path: Path) -> None:
    probe = End("::1")
    probe.close()
    place = f"[::1]:{probe.address.port}"
    async with Running() as world:
        control = controlled(world, started_with=turn(metrics_listen=place))
        async with door(control, tmp_path), httpx.AsyncClient(base_url=f"http://{place}") as client:
            assert "calln_relay_mishaps_total 0.0" in (await client.get("/metrics")).text
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://{place}/metrics")


def test_an_address_that_cannot_be_had_is_named() -> None:
    with pytest.raises(Unavailable, match=r"turn\.metrics_listen"):
        admin.listen_for_metrics(Address.of("192.0.2.99", 9642), beside=False)


async def test_a_newer_one_that_lacks_a_door_leaves_the_place_alone(tmp_path: Path) -> None:
    async with Running() as world, door(controlled(world), tmp_path) as operator:
        before = set(tmp_path.iterdir())
        with socket.create_server(("127.0.0.1", 0)) as squatter:
            taken = f"127.0.0.1:{squatter.getsockname()[1]}"
            newer = controlled(world, started_with=turn(metrics_listen=taken))
            with pytest.raises(Unavailable, match=r"turn\.metrics_listen"):
                async with door(newer, tmp_path):
                    pass
        assert set(tmp_path.iterdir()) == before
        assert (await operator.get("/readyz")).text == "ready\n"


async def test_a_newer_version_shares_as_long_as_it_holds_the_line(tmp_path: Path) -> None:
    async with Running() as world:
        control = controlled(world)
        async with door(control, tmp_path) as newer, newer.stream("POST", "/share") as line:
            assert await anext(line.aiter_text()) == upgrade.SHARED.decode()
            assert (control.newer, world.service.sharing) == (1, True)
            await line.aclose()
            async with asyncio.timeout(PATIENCE):
                while control.newer or world.service.sharing:
                    await asyncio.sleep(0.01)
            assert not control.has_left.is_set()


async def test_the_line_ends_when_we_have_left(tmp_path: Path) -> None:
    place = free("127.0.0.1", "tcp")
    async with Running() as world:
        control = controlled(world, started_with=turn(metrics_listen=f"{place.host}:{place.port}"))
        async with door(control, tmp_path) as newer, newer.stream("POST", "/share") as line:
            said = line.aiter_text()
            assert await anext(said) == upgrade.SHARED.decode()
            await control.leave_listeners()
            assert [part async for part in said] == []
            async with asyncio.timeout(PATIENCE):
                while figures_are_at(place):
                    await asyncio.sleep(0.05)


def figures_are_at(place: Address) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((place.host, place.port)) == 0
