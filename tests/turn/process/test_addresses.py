"""Addresses that come, change and go while the relay runs, and what is said of it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from aioice import stun

from tests.ports import free_port
from tests.turn.engines import land
from tests.turn.process.operator import controlled
from tests.turn.process.relay_process import PATIENCE, Elsewhere, elsewhere
from tests.turn.service.caller import Caller
from tests.turn.service.running import ALICE, SECRET, Running, turn
from tests.turn.service.stun_server import PUBLIC, server, xored
from tests.turn.versions import own_network
from turn.config.section import Turn
from turn.config.values import External
from turn.flows import Address
from turn.process import addresses
from turn.process.addresses import AddressWatch, MachineAddresses, report, unreachable
from turn.service import public_address
from turn.service.from_config import RelayConfig
from turn.service.public_address import NoServer, PublicAddresses

EVERYWHERE = ["udp://0.0.0.0:3478", "udp://[::]:3478"]
WRITTEN = RelayConfig(turn(external_ip="auto", allow_loopback_peers=False, listen=EVERYWHERE), [SECRET])


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with private addresses only, wherever this runs."""
    monkeypatch.setattr(public_address, "source_towards", {"192.0.2.1": b"\x0a\0\0\5"}.get)


@pytest.mark.usefixtures("private")
async def test_what_takes_too_long_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, over = AddressWatch(WRITTEN), asyncio.Event()
    loop = asyncio.get_running_loop()

    def resolve(_self: PublicAddresses, configured: Turn) -> tuple[Turn, frozenset[int]]:
        asyncio.run_coroutine_threadsafe(over.wait(), loop).result(PATIENCE)
        return configured, frozenset()

    monkeypatch.setattr(addresses, "PATIENCE", 0.01)
    monkeypatch.setattr(PublicAddresses, "resolve", resolve)
    assert (await watch.locate(WRITTEN)).unknown == {4, 16}
    assert watch.public.due < float("inf")
    over.set()


@pytest.mark.usefixtures("private")
async def test_where_no_server_may_be_asked_a_start_fails_and_a_look_finds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(_self: PublicAddresses, _configured: Turn) -> tuple[Turn, frozenset[int]]:
        raise NoServer("name one")

    monkeypatch.setattr(PublicAddresses, "resolve", resolve)
    watch = AddressWatch(WRITTEN)
    with pytest.raises(NoServer):
        await watch.locate(WRITTEN)
    found = await watch.locate_again()
    assert found.unknown == {4, 16}
    assert not found.turn.external_ip


def test_only_a_change_or_a_due_question_is_a_reason_to_look() -> None:
    watch = AddressWatch(WRITTEN)
    assert not watch.is_due(watch.machine)
    assert watch.is_due(watch.machine._replace(own=frozenset()))
    assert watch.is_due(watch.machine._replace(sources=frozenset({bytes(4)})))
    watch.public.due = 0.0
    assert watch.is_due(watch.machine)


FAMILIES = [
    (EVERYWHERE, set[int](), ""),
    (EVERYWHERE, {4}, "IPv4"),
    (EVERYWHERE, {4, 16}, "IPv4 and IPv6"),
    (EVERYWHERE, {16}, ""),
    (EVERYWHERE[1:], {16}, "IPv6"),
]


@pytest.mark.parametrize(("listen", "unknown", "named"), FAMILIES)
def test_a_machine_without_ipv6_is_nothing_special(listen: list[str], unknown: set[int], named: str) -> None:
    configured = turn(listen=listen, allow_loopback_peers=False)
    assert unreachable(RelayConfig(configured, [], frozenset(unknown))) == named


def test_what_is_new_is_said_once_and_without_addresses(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    nothing = WRITTEN._replace(unknown=frozenset({4, 16}))
    pair = External(
        PUBLIC_IP := Turn.model_validate({"external_ip": PUBLIC.host}).external_ip[0].public, None
    )
    assert PUBLIC_IP is not None
    found = WRITTEN._replace(turn=WRITTEN.turn.model_copy(update={"external_ip": (pair,)}))
    steps: tuple[RelayConfig | None, ...] = (None, nothing, nothing, found, found, nothing)
    for before, now in pairwise(steps):
        assert now is not None
        report(before, now)
    warning = "no public address is known yet: nobody gets a relayed address over IPv4 and IPv6"
    changed = "the public address of this machine has changed"
    said = [record.getMessage().partition(";")[0] for record in caplog.records]
    assert said == [warning, changed, changed, warning]


async def test_another_public_address_is_given_out_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Running(listen="udp://0.0.0.0:3478") as world:
        keeper, seen = controlled(world), [WRITTEN.turn, frozenset({4, 16})]
        keeper.addresses.written = WRITTEN._replace(turn=turn(users=dict([ALICE])))
        monkeypatch.setattr(PublicAddresses, "resolve", lambda *_: tuple(seen))
        for external in ("203.0.113.5/127.0.0.1", "203.0.113.6/127.0.0.1"):
            keeper.addresses.public.due = 0.0
            seen[:] = [
                turn(users=dict([ALICE]), external_ip=external, allow_loopback_peers=False),
                frozenset(),
            ]
            await keeper.check_machine()
            relay = await Caller(world, *ALICE).allocate()
            assert relay.host == external.partition("/")[0]
        keeper.addresses.public.due = 0.0
        seen[:] = [turn(users=dict([ALICE])), frozenset({4, 16})]
        await keeper.check_machine()
        assert not keeper.is_reachable
        assert await refusal(Caller(world, *ALICE)) == 508


async def refusal(caller: Caller) -> int:
    await caller.challenged()
    answer = await caller.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
    return int(answer.attributes["ERROR-CODE"][0])


async def test_a_change_that_could_not_be_applied_is_applied_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Running() as world:
        keeper = controlled(world)
        machine = keeper.addresses.machine
        other = MachineAddresses(machine.own | {Address.of("192.0.2.7", 0).ip}, machine.sources)
        monkeypatch.setattr(MachineAddresses, "read", lambda: other)
        applied = []

        async def apply_config(config: RelayConfig, own: frozenset[bytes]) -> None:
            applied.append(own)
            if len(applied) == 1:
                raise OSError(errno.EMFILE, "no descriptor")

        monkeypatch.setattr(keeper.workers, "apply_config", apply_config)
        with pytest.raises(OSError, match="no descriptor"):
            await keeper.check_machine()
        await keeper.check_machine()
        await keeper.check_machine()
        assert applied == [other.own] * 2


@pytest.fixture
def network() -> Iterator[None]:
    with own_network():
        yield


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_relay_that_was_started_before_the_network_finds_its_public_address(
    tmp_path: Path, workers: int
) -> None:
    """As after a power cut: first no address, then one by DHCP, then another."""
    land.ip("addr del ::1/128 dev lo")  # or it is the address of the other family
    with server(xored, "0.0.0.0") as place:
        asked = [f"192.168.7.{host}:{place.port}" for host in (5, 9)]
        port = free_port()
        keys = {"external_ip": "auto", "stun_servers": asked, "listen": f"udp://0.0.0.0:{port}"}
        async with elsewhere(tmp_path, workers=workers, allow_loopback_peers=False, **keys) as relay:
            relay.listener = Address.of("127.0.0.1", port)
            assert await refusal(relay.caller()) == 508
            assert await readiness(relay) == (503, "no public address is known yet\n")
            land.ip("link add eth0 type veth peer name eth0p")
            for line in ("link set eth0 up", "link set eth0p up"):
                land.ip(line)
            for number, host in enumerate(("192.168.7.5", "192.168.7.9"), 1):
                land.ip(f"addr add {host}/24 dev eth0")
                land.ip("route replace default via 192.168.7.1")
                await changes(relay, number)
                relay.listener = Address.of(host, port)
                assert (await relay.caller().allocate()).host == PUBLIC.host
                assert await readiness(relay) == (200, "ready\n")
                land.ip(f"addr del {host}/24 dev eth0")
            assert "192.168" not in str(relay.log())


async def changes(relay: Elsewhere, times: int) -> None:
    """Until it has said so often that its public address has changed."""
    async with asyncio.timeout(PATIENCE):
        while sum("public address of this machine" in line["text"] for line in relay.log()) < times:
            await asyncio.sleep(0.05)


async def readiness(relay: Elsewhere) -> tuple[int, str]:
    async with relay.operator() as operator:
        answer = await operator.get("/readyz")
    return answer.status_code, answer.text
