"""The service put together: its lists, its facts, its purge, and a start that fails with a sentence."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.app import privacy_facts
from server.config.server import Server
from server.signalling.returning import RESUME_SECONDS
from server.store.bans import network_of
from tests.server.serving import ICE, pages_of, serving


def test_the_facts_are_the_configurations() -> None:
    server = Server(call_log_days=3, trusted_proxies=("10.0.0.0/8",))
    assert privacy_facts(server, ICE, None, "off") == {
        "relay": "turn.example.org",
        "own_stun": True,
        "encrypted_only": "off",
        "hide_address": True,
        "ban_list": True,
        "call_log_days": 3,
        "report_minutes": 30,
        "resume_seconds": int(RESUME_SECONDS),
        "name_minutes": 11,  # ICE.seconds and one minute
        "geo_attribution": None,
        "proxied": True,
        "cookie_days": 0,
    }


async def test_a_call_that_was_never_connected_is_not_logged(tmp_path: Path) -> None:
    async with serving(tmp_path, call_log_days=7) as service:
        one, other = await service.couple()
        service.later += 42
        await one.say("stop")
        await other.hear("ended")
        assert service.web.store.calls() == []


@pytest.mark.parametrize("days", [0, 7])
async def test_a_call_is_logged_and_forgotten(tmp_path: Path, days: int) -> None:
    async with serving(tmp_path, call_log_days=days) as service:
        one, other = await service.couple()
        await service.connect(one, other)
        service.later += 42
        await one.say("stop")
        await other.hear("ended")
        calls = service.web.store.calls()
        assert [call.seconds in (42, 43) for call in calls] == ([True] if days else [])
        service.web.purge()
        assert len(service.web.store.calls()) == len(calls)
        service.later += days * 86_400
        service.web.purge()
        assert service.web.store.calls() == []
        for call in calls:
            assert call.start.to_bytes(4, "big") not in every_file(tmp_path)


async def test_an_ended_ban_is_forgotten_everywhere(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        web, bans = service.web, service.web.hub.bans
        bans.add(network_of("192.0.2.7"), web.hub.wall(), 60, "canary")
        bans.add(network_of("192.0.2.8"), web.hub.wall(), 3600, "")
        bans.add(network_of("192.0.2.9"), web.hub.wall(), None, "")
        web.purge_bans()
        assert len(bans) == 3
        service.later += 61
        web.purge_bans()
        assert len(bans) == len(web.store.bans()) == 2
        assert b"192.0.2.7" not in every_file(tmp_path)
        assert b"canary" not in every_file(tmp_path)


def every_file(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def test_a_hundred_visits_leave_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, rematch_seconds=0) as service:
        for number in range(100):
            one, other = await service.couple()
            if number % 2:
                await one.close()
            else:
                one.cut()
            await other.close()
            service.browsers.clear()
        service.later += RESUME_SECONDS + 1
        hub = service.web.hub
        async with asyncio.timeout(5):
            while hub.clients or hub.resumable:
                await asyncio.sleep(0.02)
        lobby = hub.lobby
        for memory in (
            lobby.visitors,
            lobby.secrets.visitors,
            lobby.calls.rooms,
            lobby.queue.seekers,
            pages_of(hub),
        ):
            assert not memory
        assert not hub.by_visitor
