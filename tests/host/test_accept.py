"""Accepting: how many per turn, and what happens when the system has nothing left."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any, cast

import pytest

from host.accept import PAUSE, PER_TURN, Accepting, AsyncioListener


class Listener:
    """A listening socket with these things to accept, one by one: a connection, or an error."""

    def __init__(self, waiting: Iterator[object]) -> None:
        self.waiting = waiting
        self.is_open = True

    def accept(self) -> tuple[Any, object]:
        found = next(self.waiting, BlockingIOError())
        if isinstance(found, OSError):
            raise found
        return found, ("192.0.2.1", 5000)

    def fileno(self) -> int:
        return 3 if self.is_open else -1


def accepting(listener: Listener, admitted: list[object], calls: list[str]) -> Accepting:
    return Accepting(
        cast(socket, listener),
        lambda sock, source: admitted.append((sock, source)),
        lambda: calls.append("watch"),
        lambda: calls.append("unwatch"),
    )


def test_a_turn_takes_a_bounded_number() -> None:
    admitted, calls, waiting = list[object](), list[str](), iter(range(PER_TURN + 3))
    one = accepting(Listener(waiting), admitted, calls)
    one.accept_some()
    assert admitted == [(number, ("192.0.2.1", 5000)) for number in range(PER_TURN)]
    one.accept_some()
    assert (len(admitted), calls) == (PER_TURN + 3, [])


def test_a_client_that_has_gone_already_is_passed_over() -> None:
    admitted, calls = list[object](), list[str]()
    accepting(Listener(iter([OSError(errno.ECONNABORTED, ""), "next"])), admitted, calls).accept_some()
    assert (len(admitted), calls) == (1, [])


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
@pytest.mark.parametrize("is_open", [True, False])
async def test_it_pauses_while_the_system_has_nothing_left(number: int, *, is_open: bool) -> None:
    admitted, calls = list[object](), list[str]()
    listener = Listener(iter([OSError(number, ""), "later"]))
    one = accepting(listener, admitted, calls)
    one.accept_some()
    assert (admitted, calls) == ([], ["unwatch"])
    listener.is_open = is_open  # it may be closed during the pause
    await asyncio.sleep(2 * PAUSE)
    assert calls == (["unwatch", "watch"] if is_open else ["unwatch"])
    one.accept_some()
    assert len(admitted) == 1


@contextmanager
def no_file_left() -> Iterator[None]:
    """Within, this process can open nothing more: every accept meets EMFILE."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("family", [sockets.AF_INET, sockets.AF_UNIX])
async def test_it_tries_a_few_times_a_second_says_so_once_and_goes_on(
    family: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket(family) as sock, socket(family) as client:
        sock.bind(("127.0.0.1", 0) if family == sockets.AF_INET else str(tmp_path / "sock"))
        admitted: list[socket] = []
        tries: list[None] = []
        listener = AsyncioListener(sock, lambda accepted, _source: admitted.append(accepted))
        accept_some = listener.accepting.accept_some

        def counted() -> None:
            tries.append(None)
            accept_some()

        monkeypatch.setattr(listener.accepting, "accept_some", counted)
        listener.accepting.watch()
        with no_file_left(), caplog.at_level(logging.WARNING):
            client.connect(sock.getsockname())
            await asyncio.sleep(3.5 * PAUSE)
        assert 2 <= len(tries) <= 5
        assert [record.getMessage() for record in caplog.records] == [
            "new connections wait: the system lets this process open no more files"
        ]
        async with asyncio.timeout(10):
            while not admitted:
                await asyncio.sleep(0.01)
        admitted[0].close()
        listener.close()
        assert sock.fileno() == -1
        listener.close()
