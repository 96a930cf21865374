"""aioice: two ends that may only meet through the relay.

python -m tests.interop.clients.ice HOST PORT udp|tcp|tls USER PASSWORD COUNT PAUSE
"""

from __future__ import annotations

import asyncio
import sys

from aioice import Connection, TransportPolicy

from tests.interop.clients.numbered import Returned, numbers

NUMBER = 2  # bytes
REPEATED = 80  # times in a message


def end(words: list[str], *, controlling: bool) -> Connection:
    host, port, transport, user, password = words
    return Connection(
        ice_controlling=controlling,
        turn_server=(host, int(port)),
        turn_username=user,
        turn_password=password,
        turn_ssl=transport == "tls",
        turn_transport="udp" if transport == "udp" else "tcp",
        transport_policy=TransportPolicy.RELAY,
        use_ipv4=":" not in host,
        use_ipv6=":" in host,
    )


async def meet(one: Connection, other: Connection) -> None:
    for near, far in ((one, other), (other, one)):
        far.remote_username, far.remote_password = near.local_username, near.local_password
        for candidate in near.local_candidates:
            await far.add_remote_candidate(candidate)
        await far.add_remote_candidate(None)
    await asyncio.gather(one.connect(), other.connect())


async def echo(end: Connection) -> None:
    while True:
        await end.send(await end.recv())


async def hear(end: Connection, returned: Returned) -> None:
    while True:
        message = await end.recv()
        assert message == message[:NUMBER] * REPEATED
        returned.add(int.from_bytes(message[:NUMBER]))


async def main(words: list[str]) -> None:
    *place, count, pause = words
    one, other = end(place, controlling=True), end(place, controlling=False)
    await asyncio.gather(one.gather_candidates(), other.gather_candidates())
    await meet(one, other)
    returned = Returned(int(count))
    listening = [asyncio.create_task(echo(other)), asyncio.create_task(hear(one, returned))]
    async for number in numbers(int(count), float(pause)):
        await one.send(number.to_bytes(NUMBER) * REPEATED)
    await returned.wait()
    for task in listening:
        task.cancel()
    print(returned.report({candidate.type for end in (one, other) for candidate in end.local_candidates}))
    await asyncio.gather(one.close(), other.close())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
