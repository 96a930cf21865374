"""What strangers cost: Binding requests, which are answered, and a flood beyond the limit, which is not.

tests.bench.relay runs this, on the cable of tests/bench/threads.py: the kernel's work for the server counts.
All strangers have one address. coturn has no limit; it answers the flood, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.cable import LOAD, SERVER, Answer, Load
from tests.bench.frames import LIGHT, NICE, OVERLOAD, Shape
from tests.bench.servers import PASSWORD, PORTS, USER, Server
from tests.bench.threads import Cable

SOCKETS = 50
FILL = 0.2  # seconds, at the lightest rate, for the tiny buffers of all sockets
LIMIT = 50  # answers a second to one address: what is usual
QUESTIONS = {"binding": "Binding requests", "allocation": "unsigned Allocates beyond the limit"}


def ask(cable: Cable, name: str, question: str, seconds: float) -> Iterator[tuple[str, float]]:
    """All rows of one server and question."""
    with ExitStack() as stack:
        load = Load(cable.net, "load", NICE, stack)
        limit = 0 if question == "binding" else LIMIT
        server = Server(cable.net, name, NICE, stack, strangers=limit)
        join(load)
        load.ask(verb="strange", count=SOCKETS, host=SERVER, port=PORTS["udp"], local=LOAD)
        fire(load, question, LIGHT, FILL)
        for shape in (LIGHT, OVERLOAD):
            before = server.schedule()[0], cable.thread.schedule()[0]
            told = fire(load, question, shape, seconds)
            process, thread = server.schedule()[0] - before[0], cable.thread.schedule()[0] - before[1]
            count = told["answered"] if question == "binding" else told["sent"]
            row, each = f"{QUESTIONS[question]}, {shape.words}", max(count, 1)
            yield f"{row}: CPU ns for each", (process + thread) / each
            yield f"{row}: of it the process", process / each
            if question == "binding":
                yield f"{row}: answered/s", count / told["seconds"]
            else:
                yield f"{row}: of 100 sent, answered", 100 * told["answered"] / each


def join(load: Load) -> None:
    """The server is there when it answers a client."""
    load.ask(
        verb="sessions",
        count=1,
        peers=True,
        host=SERVER,
        port=PORTS["udp"],
        local=LOAD,
        username=USER,
        password=PASSWORD,
        transport="udp",
    )


def fire(load: Load, question: str, shape: Shape, seconds: float) -> Answer:
    return load.ask(verb="flood", asked=question, rate=shape.rate, seconds=seconds, batch=shape.batch)
