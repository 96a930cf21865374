"""What an operator does to a running relay, in one process."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
from aioice import stun

from host import systemd
from tests.turn.engines.world import PATIENCE
from tests.turn.faults import says
from tests.turn.process.operator import controlled, raises
from tests.turn.service.caller import Caller
from tests.turn.service.running import ALICE, SECRET, Running, turn
from tests.turn.service.stun_server import server, xored
from turn.credentials import MintedCredential, mint
from turn.flows import Address
from turn.process import addresses, control
from turn.process.control import Control
from turn.service import public_address
from turn.service.from_config import RelayConfig


async def test_a_reload_takes_what_is_new_and_names_what_waits() -> None:
    async with Running() as world:
        changed = turn(users={"bob": "password of his"}, realm="elsewhere", drain_seconds=7)
        keeper = controlled(world, lambda: RelayConfig(changed, [SECRET]))
        await Caller(world, *ALICE).allocate()
        assert await keeper.reload() == ["realm"]
        assert await keeper.workers.session_count() == 0
        await Caller(world, "bob", "password of his").allocate()
        assert keeper.turn.drain_seconds == 7


UNUSABLE: list[tuple[Callable[[], RelayConfig], str]] = [
    (lambda: raises("c.yaml:1:2: turn.relm: unknown key"), "c.yaml:1:2"),
    (lambda: RelayConfig(turn(relay_addresses=["192.0.2.99"]), [SECRET]), "no address of this machine"),
]


@pytest.mark.parametrize(("read", "words"), UNUSABLE)
async def test_what_cannot_be_used_changes_nothing(
    read: Callable[[], RelayConfig], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Running() as world:
        keeper = controlled(world, read)
        await Caller(world, *ALICE).allocate()
        with pytest.raises(ValueError, match=words):
            await keeper.reload()
        await keeper.reload_and_log()
        assert await keeper.workers.session_count() == 1
        await Caller(world, *ALICE).allocate()
    assert "1 problems; calln check shows them" in caplog.text
    assert words not in caplog.text


async def test_a_mistake_in_a_reload_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    async with Running() as world:
        keeper = controlled(world, lambda: cannot_read("canary"))
        await keeper.reload_and_log()
    assert "was not read: PermissionError" in caplog.text
    assert "canary" not in caplog.text


def cannot_read(name: str) -> RelayConfig:
    raise PermissionError(name)


async def test_a_reload_does_not_open_this_machine_to_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Running() as world:
        changed = turn(listen="udp://0.0.0.0:3478", allow_loopback_peers=True)
        keeper = controlled(world, lambda: RelayConfig(changed, [SECRET]))
        own = keeper.addresses.machine.own | {Address.of("9.9.9.9", 0).ip}
        monkeypatch.setattr(addresses, "own_addresses", lambda: own)
        with pytest.raises(
            ValueError, match=r"turn\.allow_loopback_peers: this machine has a public address"
        ):
            await keeper.reload()


async def test_a_reload_while_draining_says_nothing_after_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(systemd, "notify", heard.append)
    async with Running() as world:
        await Caller(world, *ALICE).allocate()
        keeper, loop = controlled(world), asyncio.get_running_loop()
        keeper.read = lambda: ends_meanwhile(keeper, loop)
        await keeper.reload()  # the request to end comes while it reads
        await asyncio.gather(keeper.until_ended(), ended_when_told(keeper))
        assert [state.partition("\n")[0] for state in heard] == ["RELOADING=1", "STOPPING=1"]
        assert keeper.turn.drain_seconds == 9


def ends_meanwhile(keeper: Control, loop: asyncio.AbstractEventLoop) -> RelayConfig:
    loop.call_soon_threadsafe(keeper.drain)
    return RelayConfig(turn(users=dict([ALICE]), drain_seconds=9), [SECRET])


async def ended_when_told(keeper: Control) -> None:
    while not keeper.workers.draining:
        await asyncio.sleep(0)
    await keeper.reload()
    keeper.shutdown.request()


async def test_clients_are_answered_while_the_file_is_read() -> None:
    async with Running() as world:
        answered = threading.Event()
        keeper = controlled(world, lambda: read_after(answered))
        reloading = asyncio.create_task(keeper.reload())
        await Caller(world, *ALICE).allocate()
        answered.set()
        assert await reloading == []


def read_after(answered: threading.Event) -> RelayConfig:
    assert answered.wait(PATIENCE)
    return RelayConfig(turn(users=dict([ALICE])), [SECRET])


OLD, NEW = b"the old one, long enough", b"the new one, long enough"
ROTATION = [  # secrets in force, whether old and new credentials open a session, how many live then
    ([OLD], [True, False], 1),
    ([NEW, OLD], [True, True], 3),
    ([NEW], [False, True], 2),  # what lived under the old one has ended
]


async def test_secrets_change_one_after_the_other() -> None:
    async with Running() as world:
        in_force: list[bytes] = []
        keeper = controlled(world, lambda: RelayConfig(turn(), in_force))
        for secrets, open_sessions, living in ROTATION:
            in_force[:] = secrets
            await keeper.reload()
            minted = [mint(secret, "visitor", int(time.time()) + 60) for secret in (OLD, NEW)]
            opened = [await opens(world, credential) for credential in minted]
            assert (opened, await keeper.workers.session_count()) == (open_sessions, living)


async def opens(world: Running, credential: MintedCredential) -> bool:
    caller = Caller(world, *credential)
    await caller.challenged()
    answer = await caller.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
    return answer.message_class is stun.Class.RESPONSE


async def test_a_new_own_address_is_no_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Running() as world:
        keeper = controlled(world)
        caller, peer = Caller(world, *ALICE), Address.of("9.9.9.9", 5000)
        await caller.allocate()
        assert await caller.bind(0x4000, peer) is stun.Class.RESPONSE
        own = keeper.addresses.machine.own | {peer.ip}
        monkeypatch.setattr(addresses, "own_addresses", lambda: own)
        await keeper.check_machine()
        assert peer.ip in keeper.addresses.machine.own
        assert await caller.bind(0x4001, peer._replace(port=5001)) is stun.Class.ERROR
        monkeypatch.setattr(addresses, "own_addresses", lambda: frozenset({peer.ip}))
        keeper.addresses.written = RelayConfig(turn(relay_addresses=["127.0.0.1"]), [SECRET])
        await keeper.check_machine()
        assert keeper.addresses.machine.own == {peer.ip}
        await caller.ask(stun.Method.REFRESH, LIFETIME=0)


async def test_addresses_are_looked_at_again_whatever_happens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Running() as world:
        keeper = controlled(world)
        looked: asyncio.Queue[None] = asyncio.Queue()

        def no_descriptors() -> frozenset[bytes]:
            looked.put_nowait(None)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(control, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(addresses, "own_addresses", no_descriptors)
        watching = asyncio.create_task(keeper.watch_addresses())
        for _ in range(2):
            await asyncio.wait_for(looked.get(), PATIENCE)
        watching.cancel()
        assert [record.getMessage().partition(" in ")[0] for record in caplog.records] == [
            "the look at this machine's addresses and processes failed: OSError EMFILE"
        ]


async def test_many_signals_are_as_good_as_one() -> None:
    async with Running() as world:
        changed = iter(range(1, 100))
        keeper = controlled(
            world, lambda: RelayConfig(turn(users=dict([ALICE]), drain_seconds=next(changed)), [SECRET])
        )
        await Caller(world, *ALICE).allocate()
        await asyncio.gather(*(keeper.reload() for _ in range(20)))
        assert (keeper.turn.drain_seconds, await keeper.workers.session_count()) == (20, 1)


async def test_a_public_address_is_found_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_address, "source_towards", lambda host: Address.of("10.0.0.5", 0).ip)
    async with Running() as world:
        with server(xored) as place:
            asked = f"127.0.0.1:{place.port}"
            keys = {"external_ip": "auto", "stun_servers": asked, "listen": "udp://0.0.0.0:3478"}
            configured = turn(allow_loopback_peers=False, **keys)
            keeper = controlled(world, lambda: RelayConfig(configured, [SECRET]))
            await keeper.reload()
        [external] = keeper.turn.external_ip
        assert (str(external.public), str(external.local)) == ("203.0.113.5", "10.0.0.5")
        keeper.read = lambda: RelayConfig(
            turn(allow_loopback_peers=False, **{**keys, "stun_servers": []}), [SECRET]
        )
        with pytest.raises(ValueError, match=r"turn\.stun_servers"):
            await keeper.reload()


async def test_draining_sends_newcomers_elsewhere_and_ends_with_the_last() -> None:
    async with Running() as world:
        keeper = controlled(world, started_with=turn(alternate_server="127.0.0.9:3478"))
        caller, late = Caller(world, *ALICE), Caller(world, *ALICE)
        await caller.allocate()
        with keeper.shutdown.on_signals(keeper.on_hangup):
            ended = asyncio.create_task(keeper.until_ended())
            os.kill(os.getpid(), signal.SIGTERM)
            await keeper.shutdown.requested.wait()
            await late.challenged()
            answer = await late.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
            assert answer.attributes["ERROR-CODE"][0] == 300
            assert not ended.done()
            await caller.ask(stun.Method.REFRESH, LIFETIME=0)
            await asyncio.wait_for(ended, PATIENCE)
        assert world.service.draining


async def test_to_drain_twice_is_to_drain_once() -> None:
    async with Running() as world:
        keeper = controlled(world)
        keeper.drain()
        keeper.drain()
        assert keeper.shutdown.requested.is_set()
        assert not keeper.shutdown.repeated.is_set()


async def test_we_share_while_anybody_is_at_our_listeners_too() -> None:
    async with Running() as world:
        control, left = controlled(world), asyncio.Event()

        async def leaves() -> None:
            await left.wait()

        sharing = asyncio.create_task(control.share_with_older(leaves()))
        await asyncio.sleep(0)
        async with control.with_newer():
            left.set()
            await sharing
            assert world.service.sharing
        assert not world.service.sharing


async def test_who_came_just_before_we_leave_to_a_newer_version_is_still_let_in() -> None:
    async with Running(transport="tcp") as world:
        keeper = controlled(world)
        caller = Caller(world, *ALICE, await world.connect())
        await caller.challenged()
        async with keeper.with_newer():
            keeper.drain()
            ended = asyncio.create_task(keeper.until_ended())
            await asyncio.wait_for(keeper.has_left.wait(), PATIENCE)
            answer = await caller.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
            assert answer.message_class is stun.Class.RESPONSE
            keeper.shutdown.request()
            await asyncio.wait_for(ended, PATIENCE)


async def test_who_is_ending_leaves_when_a_newer_version_comes() -> None:
    async with Running() as world:
        control = controlled(world)
        control.drain()
        async with control.with_newer():
            assert control.has_left.is_set()
        assert world.service.sharing  # what it has, it keeps to its end


async def test_calls_go_on_though_the_listeners_cannot_be_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Running() as world:
        keeper, caller = controlled(world), Caller(world, *ALICE)
        await caller.allocate()

        async def fails(*_: object) -> None:
            raise OSError(errno.ENOBUFS, "canary")

        for name in ("leave_listeners", "drain"):
            monkeypatch.setattr(keeper.workers, name, fails)
        monkeypatch.setattr(control, "LAST_COMERS_SECONDS", 0.01)
        keeper.older = True
        keeper.drain()
        ended = asyncio.create_task(keeper.until_ended())
        await says(caplog, "sending newcomers elsewhere failed: OSError ENOBUFS in control.py:")
        assert await caller.bind(0x4000, Address.of("127.0.0.1", 9)) is stun.Class.RESPONSE
        assert not ended.done()
        await caller.ask(stun.Method.REFRESH, LIFETIME=0)
        await asyncio.wait_for(ended, PATIENCE)
