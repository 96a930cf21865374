"""What a crew of one does when an operator wishes it."""

from __future__ import annotations

from tests.turn.test_control import ALICE
from tests.turn.test_service import Caller, Running
from turn.crew import Alone


async def test_sessions_are_listed_and_ended_by_name_and_by_user() -> None:
    async with Running(users={"alice": "password of hers", "bob": "password of his"}) as world:
        crew = Alone(world.service, [world.listener])
        relays = [await Caller(world, *ALICE).allocate() for _ in range(3)]
        await Caller(world, "bob", "password of his").allocate()
        rows = await crew.sessions()
        assert sorted(row["user"] for row in rows) == ["alice"] * 3 + ["bob"]
        name = f"{relays[0].host}:{relays[0].port}"
        assert name in [row["id"] for row in rows]
        ended = [await crew.kill(name=name), await crew.kill(name=name), await crew.kill(user="alice")]
        ended += [await crew.kill(user="alice"), await crew.kill(), await crew.kill(user="bob")]
        assert ended == [1, 0, 2, 0, 0, 1]
        assert (await crew.sessions(), await crew.count()) == ([], 0)
