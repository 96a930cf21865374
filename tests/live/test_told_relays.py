"""What visitors without a browser get from the server, and what that is worth at its two relays."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from aioice.stun import TransactionFailed

from deploy.doctor.operator_client import OperatorError
from tests.live.raw_visitors import RelayEnd, consent, couple, describe, media_passes, until_heard, visiting
from tests.live.service import Service
from tests.live.two_relays import HOSTS, WAYS, figures, held, second_relay, sections
from tests.server.serving import Browser

__all__ = ["sections"]  # the fixture of the service looks for it

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 20.0
SOON, LATER = 0.5, 5.0  # seconds for what must not arrive, and for what must


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def second(service: Service, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with second_relay(service, tmp_path_factory.mktemp("second")) as second:
        await until(lambda: hears(second))
        yield second


async def hears(relay: Service) -> bool:
    return bool((await figures(relay))["servers"])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """A relay that has just started does not answer yet."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(OperatorError):
                if await condition():
                    return
            await asyncio.sleep(0.02)


async def code_of_allocate(ice: dict[str, object], host: str, port: int, transport: str = "udp") -> int:
    """0: it got one."""
    try:
        end = await RelayEnd.open(ice, host, port, transport)
    except TransactionFailed as refused:
        return int(refused.response.attributes["ERROR-CODE"][0])
    end.close()
    return 0


@pytest.mark.parametrize("hosts", [(HOSTS[0], HOSTS[0]), (HOSTS[1], HOSTS[1]), HOSTS])
async def test_only_a_call_whose_descriptions_were_checked_is_vouched_for(
    service: Service, second: Service, hosts: tuple[str, str]
) -> None:
    """Two visitors agree on everything that two ends can agree on, first in no call. Once it is one, that is
    enough, also for what they allocated while they waited, and where each is at another relay."""
    async with visiting(service, 2) as (one, other):
        found = []
        for browser in (one, other):
            await browser.say("ice")
            found.append((await until_heard(browser, "ice"))["ice"])
        ends = [await RelayEnd.open(ice, host, service.turn) for ice, host in zip(found, hosts, strict=True)]
        await consent(ends[0], ends[1])
        assert not await media_passes(ends[0], ends[1], SOON)
        found = await couple(one, other)
        called = [
            await RelayEnd.open(ice, host, service.turn) for ice, host in zip(found, hosts, strict=True)
        ]
        await consent(called[0], called[1])
        assert not await media_passes(called[0], called[1], SOON)
        await describe(one, other)
        await until(lambda: vouched(service, second))
        for pair in (called, ends):
            assert await media_passes(pair[0], pair[1], LATER)
        for end in (*ends, *called):
            end.close()


async def vouched(*relays: Service) -> bool:
    return all([(await figures(relay))["vouched_sessions"] >= 2 for relay in relays])


async def test_a_name_is_for_the_next_call_and_for_that_one_alone(service: Service) -> None:
    async with visiting(service, 2) as (one, other):
        before = [await name(one) for _ in range(10)]
        called = [user({"ice": ice}) for ice in await couple(one, other)]
        assert {*before} == {called[0]} == {await name(one)}
        await one.say("stop")
        await until_heard(one, "stopped")
        after = [await name(browser) for browser in (one, other)]
        assert len({*called, *after}) == 4


async def name(browser: Browser) -> str:
    await browser.say("ice")
    return user(await until_heard(browser, "ice"))


def user(said: dict[str, object]) -> str:
    ice = said["ice"]
    assert isinstance(ice, dict)
    return str(ice["iceServers"][-1]["username"]).partition(":")[2]


async def test_what_a_call_held_ends_with_it_at_both_relays(service: Service, second: Service) -> None:
    """The page never says Refresh with a lifetime of 0, and the names are good for nothing any more."""
    async with visiting(service, 2) as (one, other):
        found = await couple(one, other)
        places = [(ice, host) for ice in found for host in HOSTS]
        ends = [await RelayEnd.open(ice, host, service.turn) for ice, host in places]
        assert [len(await held(relay)) for relay in (service, second)] == [2, 2]
        await one.say("stop")
        for relay in (service, second):
            await until(lambda: holds_nothing(relay))  # noqa: B023  # it waits here
        for ice, host in places:
            assert await code_of_allocate(ice, host, service.turn) == 403
        for end in ends:
            end.close()


async def holds_nothing(relay: Service) -> bool:
    return not await held(relay)


async def test_a_ban_reaches_what_runs_at_both_relays_and_is_lifted_there(
    service: Service, second: Service
) -> None:
    async with visiting(service, 1) as (one,):
        await one.say("ice")
        ice = (await until_heard(one, "ice"))["ice"]
        ends = [await RelayEnd.open(ice, HOSTS[0], service.turn)]
        ends += [await RelayEnd.open(ice, HOSTS[1], service.turn, way) for way in WAYS]
        await service.command("ban", "add", "127.0.0.1")
        for relay in (service, second):
            await until(lambda: holds_nothing(relay))  # noqa: B023  # it waits here
        assert await code_of_allocate(ice, HOSTS[0], service.turn) == 403
        for way in WAYS:
            assert await code_of_allocate(ice, HOSTS[1], service.turn, way) == 403
        await service.command("ban", "remove", "127.0.0.1")
        for host in HOSTS:
            await until(lambda: allocates(ice, host, service.turn))  # noqa: B023  # it waits here
        for end in ends:
            end.close()


async def allocates(ice: dict[str, object], host: str, port: int) -> bool:
    return await code_of_allocate(ice, host, port) == 0


async def test_a_call_hears_of_other_relays_when_one_of_its_own_has_died(
    service: Service, second: Service
) -> None:
    async with visiting(service, 2) as (one, other):
        found = await couple(one, other)
        assert [hosts_in(ice) for ice in found] == [set(HOSTS), set(HOSTS)]
        await second.end("relay")
        for browser, before in zip((one, other), found, strict=True):
            ice = (await until_heard(browser, "ice"))["ice"]
            assert hosts_in(ice) == {HOSTS[0]}
            assert user({"ice": ice}) == user({"ice": before})
        await one.say("ice")
        assert hosts_in((await until_heard(one, "ice"))["ice"]) == {HOSTS[0]}
    await second.begin("relay", lambda: (second.state / "relay.sock").exists())
    await until(lambda: hears(second))


def hosts_in(ice: dict[str, Any]) -> set[str]:
    return {url.split(":")[1] for server in ice["iceServers"] for url in server["urls"]}


async def test_a_new_server_and_a_new_relay_know_the_bans(service: Service, second: Service) -> None:
    await service.command("ban", "add", "192.0.2.7")
    await service.restart_server(signal.SIGKILL)
    await second.end("relay")
    await second.begin("relay", lambda: (second.state / "relay.sock").exists())
    for relay in (service, second):
        await until(lambda: knows_a_ban(relay))  # noqa: B023  # it waits here
    await service.command("ban", "remove", "192.0.2.7")


async def knows_a_ban(relay: Service) -> bool:
    return bool((await figures(relay))["banned_networks"])
