"""By which interface and to which neighbour packets leave. The kernel says when that changes."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from turn.engines.kernel.layout import Way

MESSAGE = struct.Struct("IHHII")  # a netlink header: length, kind, flags, number, port
ROUTE = struct.Struct("8BI")
ATTRIBUTE = struct.Struct("HH")
GET_ROUTE, NEW_ROUTE, REQUEST = 26, 24, 1
DESTINATION, SOURCE, INTERFACE, GATEWAY, METRICS, VIA = 1, 2, 4, 5, 8, 18
ATTRIBUTE_KIND = 0x3FFF  # the rest are flags
UNICAST, LOCAL, MTU = 1, 2, 2
CHANGES = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # groups: links, addresses and routes of both families
PATIENCE = 1.0  # the kernel answers at once

GET_KIND, GET_MTU = 0x8927, 0x8921  # ioctls; the kind is told with the hardware address
ETHERNET, LOOPBACK = 1, 772
LEAST_MTU = 1280  # what the program carries must fit


class RoutingTable:
    """Asks the kernel for routes. `changes` is readable when links, addresses or routes have changed."""

    def __init__(self) -> None:
        self.asked = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.asked.settimeout(PATIENCE)
        self.changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.changes.setblocking(False)
        self.changes.bind((0, CHANGES))
        self.interfaces = dict(interfaces())  # index -> kind

    def forget_changes(self) -> None:
        """Read all that is said of changes, and look at the interfaces again."""
        while True:
            try:
                self.changes.recv(65536)
            except BlockingIOError:
                break
            except OSError:  # more changes than fit into the buffer
                continue
        self.interfaces = dict(interfaces())

    def way(self, source: bytes, destination: bytes) -> Way | None:
        """How packets between these addresses leave; None: not in a way that suits the program."""
        answer = self.ask(source, destination)
        if answer is None:
            return None
        kind, found = answer
        index = int.from_bytes(found.get(INTERFACE, b""), "little")
        if kind not in (UNICAST, LOCAL) or index not in self.interfaces or narrow(found.get(METRICS, b"")):
            return None
        if self.interfaces[index] == LOOPBACK:
            return Way(index, None)
        via = found[VIA][2:] if VIA in found else found.get(GATEWAY, destination)
        return Way(index, via)

    def ask(self, source: bytes, destination: bytes) -> tuple[int, dict[int, bytes]] | None:
        """The route's type and attributes."""
        family, bits = (socket.AF_INET, 32) if len(destination) == 4 else (socket.AF_INET6, 128)
        body = ROUTE.pack(family, bits, bits, 0, 0, 0, 0, 0, 0)
        for kind, value in ((DESTINATION, destination), (SOURCE, source)):
            body += ATTRIBUTE.pack(4 + len(value), kind) + value
        try:
            self.asked.send(MESSAGE.pack(MESSAGE.size + len(body), GET_ROUTE, REQUEST, 0, 0) + body)
            answer = self.asked.recv(65536)
        except OSError:
            return None
        length, kind = MESSAGE.unpack_from(answer)[:2]
        if kind != NEW_ROUTE:
            return None
        return answer[MESSAGE.size + 7], dict(attributes(answer[MESSAGE.size + ROUTE.size : length]))

    def close(self) -> None:
        self.asked.close()
        self.changes.close()


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        yield kind & ATTRIBUTE_KIND, data[ATTRIBUTE.size : length]
        data = data[max(length, ATTRIBUTE.size) + 3 & ~3 :]


def narrow(metrics: bytes) -> bool:
    """Whether a route has a smaller MTU than the program's packets need."""
    mtu = dict(attributes(metrics)).get(MTU)
    return mtu is not None and int.from_bytes(mtu, "little") < LEAST_MTU


def interfaces() -> Iterator[tuple[int, int]]:
    """The Ethernet and loopback interfaces, with their kinds. The program knows no other headers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for index, name in socket.if_nameindex():
            with suppress(OSError):  # it may have gone meanwhile
                asked = struct.pack("16s24x", os.fsencode(name))
                (kind,) = struct.unpack_from("H", fcntl.ioctl(sock, GET_KIND, asked), 16)
                (mtu,) = struct.unpack_from("i", fcntl.ioctl(sock, GET_MTU, asked), 16)
                if kind in (ETHERNET, LOOPBACK) and mtu >= LEAST_MTU:
                    yield index, kind
