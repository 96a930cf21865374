"""aioice: two ends that may only meet through the relay.

python -m tests.interop.clients.ice HOST PORT udp|tcp|tls USER PASSWORD COUNT
"""

from __future__ import annotations

import asyncio
import sys

from aioice import Connection, TransportPolicy

PAYLOAD = 160


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


async def main(words: list[str]) -> None:
    *place, count = words
    one, other = end(place, controlling=True), end(place, controlling=False)
    await asyncio.gather(one.gather_candidates(), other.gather_candidates())
    await meet(one, other)
    for number in range(int(count)):
        await one.send(bytes([number]) * PAYLOAD)
        await other.send(await other.recv())
        assert await one.recv() == bytes([number]) * PAYLOAD
    kinds = {candidate.type for end in (one, other) for candidate in end.local_candidates}
    print(f"heard {count} through {' '.join(sorted(kinds))}")
    await asyncio.gather(one.close(), other.close())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
