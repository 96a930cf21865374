"""Accepting connections: a few per turn of the event loop, none while the system has no file left."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from socket import socket
from time import monotonic
from typing import Any

log = logging.getLogger("calln")

PER_TURN = 16  # a flood of connections delays nobody else
BACKLOG = 1_024  # connections that wait to be accepted
PAUSE = 0.1  # seconds without accepting, when the system has no file left
WARN_SECONDS = 60.0  # between two lines in the log that say so
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Accepting:
    """One listening socket. `admit` gets each new connection and where it comes from; `watch` and `unwatch`
    start and stop the calls of `accept_some` when a client waits."""

    def __init__(
        self,
        listener: socket,
        admit: Callable[[socket, Any], object],
        watch: Callable[[], object],
        unwatch: Callable[[], object],
    ) -> None:
        self.listener = listener
        self.admit = admit
        self.watch = watch
        self.unwatch = unwatch
        self.warned = float("-inf")

    def accept_some(self) -> None:
        for _ in range(PER_TURN):
            try:
                sock, source = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self.pause()
                    return
                continue  # this client has gone again already
            self.admit(sock, source)

    def pause(self) -> None:
        """Otherwise the event loop would report the same waiting client again and again, without end."""
        if monotonic() - self.warned >= WARN_SECONDS:
            self.warned = monotonic()
            log.warning("new connections wait: the system lets this process open no more files")
        self.unwatch()
        asyncio.get_running_loop().call_later(PAUSE, self.resume)

    def resume(self) -> None:
        if self.listener.fileno() >= 0:
            self.watch()


class AsyncioListener:
    """A listening socket whose connections the running asyncio loop accepts."""

    def __init__(self, sock: socket, admit: Callable[[socket, Any], object]) -> None:
        sock.setblocking(False)
        sock.listen(BACKLOG)
        loop = asyncio.get_running_loop()
        self.sock = sock
        self.accepting = Accepting(
            sock,
            admit,
            lambda: loop.add_reader(sock.fileno(), self.accepting.accept_some),
            lambda: loop.remove_reader(sock.fileno()),
        )
        self.accepting.resume()

    def close(self) -> None:
        """Accept no more. Another process may go on with the same socket; connections stay."""
        if self.sock.fileno() >= 0:
            self.accepting.unwatch()
            self.sock.close()
