"""What a single process does when an operator asks for it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from aioice import stun

from tests.turn.engines.listening import listener_of
from tests.turn.service.caller import Caller, ended
from tests.turn.service.running import ALICE, Running
from turn.service.service import AT_ONCE
from turn.workers.single import SingleProcess


async def test_sessions_are_listed_and_ended_by_name_and_by_user() -> None:
    async with Running(users={"alice": "password of hers", "bob": "password of his"}) as world:
        workers = SingleProcess(world.service, [world.listener])
        relays = [await Caller(world, *ALICE).allocate() for _ in range(3)]
        await Caller(world, "bob", "password of his").allocate()
        rows = await workers.sessions()
        assert sorted(row["user"] for row in rows) == ["alice"] * 3 + ["bob"]
        name = f"{relays[0].host}:{relays[0].port}"
        assert name in [row["id"] for row in rows]
        gone = [
            await workers.kill(name=name),
            await workers.kill(name=name),
            await workers.kill(user="alice"),
        ]
        gone += [await workers.kill(user="alice"), await workers.kill(), await workers.kill(user="bob")]
        assert gone == [1, 0, 2, 0, 0, 1]
        assert (await workers.sessions(), await workers.session_count()) == ([], 0)


async def test_who_holds_a_session_is_kept_while_others_share_our_listeners() -> None:
    async with Running(limits={"allocations_per_user": 0}) as world:
        workers, kept = (
            SingleProcess(world.service, [world.listener]),
            listener_of(world).client_sockets.pinned,
        )
        early = [Caller(world, *ALICE) for _ in range(AT_ONCE + 2)]
        for caller in early:
            await caller.allocate()
        assert not kept
        await workers.start_sharing()
        late = Caller(world, *ALICE)
        await late.allocate()
        assert kept == {(caller.end.address, world.listener) for caller in (*early, late)}
        assert await ended(early.pop()) is stun.Class.RESPONSE
        assert kept == {(caller.end.address, world.listener) for caller in (*early, late)}
        await workers.stop_sharing()
        await Caller(world, *ALICE).allocate()
        assert not kept


async def test_who_leaves_hears_its_own_clients_only() -> None:
    async with Running() as world:
        workers, caller, stranger = (
            SingleProcess(world.service, [world.listener]),
            Caller(world, *ALICE),
            world.end(),
        )
        await caller.allocate()
        await workers.start_sharing()
        await workers.leave_listeners()
        with suppress(OSError):
            stranger.send(b"\0\1\0\0\x21\x12\xa4\x42transaction!", world.listener)
        assert await ended(caller) is stun.Class.RESPONSE
        with pytest.raises(OSError, match=r"refused|temporarily"):
            stranger.sock.recv(100)
