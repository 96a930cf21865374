"""How one process of the relay calls another: a line of JSON there and a line back, one call at a time.

The arguments of a call are pickled: they come from the process that started this one. Results are JSON only.
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

Orders = Mapping[str, Callable[..., Awaitable[object]]]  # the name of a call -> what answers it

LONGEST = 64 << 20  # bytes of a line: all sessions of a full relay, and room


class NotAnswered(Exception):
    """The other process is dead or hangs."""


class CallFailed(Exception):
    """The other process answered with an error; the text is its own."""


class Rpc:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = count(1)
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def open(cls, sock: socket) -> Rpc:
        return cls(*await asyncio.open_connection(sock=sock, limit=LONGEST))

    async def call(self, order: str, *values: object, seconds: float) -> Any:
        """Raises NotAnswered and CallFailed."""
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
        """Skips answers to earlier calls that came too late. Raises OSError and ValueError."""
        while True:
            line = await self._reader.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError
            answer: dict[str, Any] = json.loads(line)
            if answer["number"] == number:
                return answer

    async def serve_calls(self, orders: Orders) -> None:
        """Answer until the other end is closed."""
        with suppress(OSError):  # it ended before it had read our last answer
            while (line := await self._reader.readline()).endswith(b"\n"):
                request = json.loads(line)
                order = orders.get(request["order"], no_such_order)
                result = await result_of(order, unpack(request["values"]))
                self._write({"number": request["number"], **result})

    def _write(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        self._writer.close()


async def no_such_order(*_: object) -> None:
    """Raises CallFailed."""
    raise CallFailed("there is no such order")


async def result_of(order: Callable[..., Awaitable[object]], values: tuple[Any, ...]) -> dict[str, object]:
    try:
        return {"answer": await order(*values)}
    except CallFailed as why:
        return {"refused": str(why)}
    except Exception as mistake:  # sessions go on
        log.exception("an order could not be done")
        return {"refused": type(mistake).__name__}


def pack(values: tuple[object, ...]) -> str:
    return b64encode(pickle.dumps(values)).decode()


def unpack(text: str) -> tuple[Any, ...]:
    values: tuple[Any, ...] = pickle.loads(b64decode(text))  # noqa: S301  # our own parent wrote it
    return values
