"""An engine in a process of its own, so that its memory can be weighed: it answers, and floods who wishes so.

Arguments: the port to listen at, tcp or tls, and the certificate's files.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

from host.tls import Certificate
from tests.turn.engines.world import stun
from turn.engines import Above, Streams
from turn.engines.portable.engine import Portable
from turn.flows import Address, Packet, Transport

FLOOD = stun(0x0002, b"")
MEDIA, ANSWER = stun(0x0017, bytes(1000)), stun(0x0101, b"")
PACKETS = 400  # more than the kernel's buffers and the queue hold together


def main(port: str, transport: str, chain: str, key: str) -> None:
    here = Address.of("127.0.0.1", int(port), cast("Transport", transport))
    engine = Portable([here], Streams(certificate=Certificate(Path(chain), Path(key))))

    def punt(packet: Packet) -> None:
        for _ in range(PACKETS if packet.data == FLOOD else 0):
            engine.send([packet._replace(data=MEDIA)])
        engine.send([packet._replace(data=ANSWER)])

    print("ready", flush=True)
    asyncio.run(engine.run(Above(punt)))


if __name__ == "__main__":
    main(*sys.argv[1:])
