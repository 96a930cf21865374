"""A STUN server that answers as a test wants it to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from host.settings import HostPort
from turn.flows import Address
from turn.wire.attributes import XOR_MAPPED_ADDRESS
from turn.wire.stun import BINDING_REQUEST, SUCCESS, build

PUBLIC = Address.of("203.0.113.5", 4000)
Reply = Callable[[bytes], list[bytes]]


@contextmanager
def server(reply: Reply, host: str = "127.0.0.1") -> Iterator[HostPort]:
    """Answers each request with `reply` of its transaction."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        place = HostPort(host, sock.getsockname()[1])

        def serve() -> None:
            while True:
                data, there = sock.recvfrom(2048)
                if not data:
                    return
                for answer in reply(data[8:20]):
                    sock.sendto(answer, there)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield place
        finally:
            with socket.socket(sock.family, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (place.host, place.port))
            thread.join()


def xored(transaction: bytes) -> list[bytes]:
    return [build(BINDING_REQUEST | SUCCESS, transaction, [(XOR_MAPPED_ADDRESS, PUBLIC)])]
