"""How one process of the relay asks another: a line of JSON there, a line back, one at a time.

An order may carry values of ours as they are (pickled): it comes from the process that started this one. What
comes back is JSON alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import count
from socket import socket
from typing import Any

log = logging.getLogger("calln.relay")

Orders = Mapping[str, Callable[..., Awaitable[object]]]  # an order, and what answers it

LONGEST = 64 << 20  # bytes of a line: all sessions of a full relay, and room


class NotAnswered(Exception):
    """Nobody answers: the other process is dead, or hangs."""


class CallFailed(Exception):
    """The other cannot; its words."""


class Rpc:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = count(1)
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def connect(cls, sock: socket) -> Rpc:
        return cls(*await asyncio.open_connection(sock=sock, limit=LONGEST))

    async def call(self, order: str, *values: object, seconds: float) -> Any:
        """Raises Silent and Refused."""
        async with self._one_at_a_time:
            number = next(self._numbers)
            self._write({"number": number, "order": order, "values": pack(values)})
            try:
                async with asyncio.timeout(seconds):
                    answer = await self._answer(number)
            except (OSError, ValueError, TimeoutError) as error:
                raise NotAnswered from error
        if "refused" in answer:
            raise CallFailed(answer["refused"])
        return answer["answer"]

    async def _answer(self, number: int) -> dict[str, Any]:
        """Earlier ones may come late, when nobody waits for them any more. Raises OSError and ValueError."""
        while True:
            line = await self._reader.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError
            answer: dict[str, Any] = json.loads(line)
            if answer["number"] == number:
                return answer

    async def serve_calls(self, does: Orders) -> None:
        """Do what is ordered, until the other end is closed."""
        with suppress(OSError):  # it ended before it had read our last answer
            while (line := await self._reader.readline()).endswith(b"\n"):
                wish = json.loads(line)
                do = does.get(wish["order"], no_such_order)
                answer = await result_of(do, unpack(wish["values"]))
                self._write({"number": wish["number"], **answer})

    def _write(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        self._writer.close()


async def no_such_order(*_: object) -> None:
    """Raises Refused."""
    raise CallFailed("there is no such order")


async def result_of(do: Callable[..., Awaitable[object]], values: tuple[Any, ...]) -> dict[str, object]:
    try:
        return {"answer": await do(*values)}
    except CallFailed as why:
        return {"refused": str(why)}
    except Exception as mistake:  # calls go on
        log.exception("an order could not be done")
        return {"refused": type(mistake).__name__}


def pack(values: tuple[object, ...]) -> str:
    return b64encode(pickle.dumps(values)).decode()


def unpack(text: str) -> tuple[Any, ...]:
    values: tuple[Any, ...] = pickle.loads(b64decode(text))  # noqa: S301  # our own parent wrote it
    return values
