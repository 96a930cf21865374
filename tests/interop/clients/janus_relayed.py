"""Janus with a relay of its own, by the lines of `calln relay uses janus`: aiortc reaches it there alone.

python -m tests.interop.clients.janus_relayed ONE OTHER PORT USER PASSWORD SECONDS
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from config.file import parse_config
from deploy.cli.uses import lines_for
from tests.interop.clients.janus import Handle, janus, reached, talk
from tests.interop.clients.rtc import end
from tests.interop.homes import RELAY_SIDE
from tests.interop.relay import JANUS, PASSWORD

PORT = 8189  # the other Janus may run meanwhile
CANDIDATE = "a=candidate:"
OF_RELAY = f" {RELAY_SIDE[1]} "


def lines(port: str) -> str:
    """As the operator of the relay gets them."""
    turn = {"host": RELAY_SIDE[1], "listen": [f"udp://{RELAY_SIDE[1]}:{port}"], "users": {JANUS: PASSWORD}}
    return lines_for(parse_config(json.dumps({"turn": turn}), Path("config.yaml")), JANUS)


def relayed(answer: str) -> str:
    """The same without the candidates that are not at the relay. At least one has to be."""
    rows = answer.splitlines(keepends=True)
    kept = [row for row in rows if not row.startswith(CANDIDATE) or (" typ relay" in row and OF_RELAY in row)]
    if not any(row.startswith(CANDIDATE) for row in kept):
        raise SystemExit(f"Janus has no address at the relay:\n{answer}")
    return "".join(kept)


async def main(words: list[str]) -> None:
    _, namespace, port, user, password, seconds = words
    connection = end([f"turn:{RELAY_SIDE[0]}:{port}", user, password])
    async with janus(namespace, lines(port), PORT), await reached(PORT) as socket:
        handle = Handle(socket)
        await handle.open()
        await talk(connection, handle, relayed(await handle.call(connection)), int(seconds))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
