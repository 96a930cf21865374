"""A small country of network namespaces: the relay, two routers behind each other, and a peer beyond them.

    relay 10.66.1.1 ── near ══ far ── peer 10.66.3.2          between the routers, 1300 bytes fit

10.66.4.0/24 is unreachable, 10.66.5.0/24 prohibited, and what goes to 10.66.6.0/24 the routers pass to each
other until its time is over. The same in IPv6 under fd66:. Who asks what, from which namespace, is decided
by the thread: sockets belong to where it is when they are made.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

CLONE_NEWNET = 0x40000000
NARROW = 1300  # bytes of an IP packet that fit between the routers
HERE = {4: "10.66.1.1", 6: "fd66:1::1"}
NEAR = {4: "10.66.1.2", 6: "fd66:1::2"}
THERE = {4: "10.66.3.2", 6: "fd66:3::2"}
UNREACHABLE = {4: "10.66.4.2", 6: "fd66:4::2"}
PROHIBITED = {4: "10.66.5.2", 6: "fd66:5::2"}
ENDLESS = {4: "10.66.6.2", 6: "fd66:6::2"}

SETTINGS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/icmp/ratelimit": "0",
}
LINKS = (("relay", "near", 1, 1500), ("near", "far", 2, NARROW), ("far", "peer", 3, 1500))
ROUTES = {
    "relay": ("default via {net}1{sep}2",),
    "near": ("default via {net}2{sep}2",),
    "far": (
        "{net}1{sep}0/{len} via {net}2{sep}1",
        "unreachable {net}4{sep}0/{len}",
        "prohibit {net}5{sep}0/{len}",
        "{net}6{sep}0/{len} via {net}2{sep}1",
    ),
    "peer": ("default via {net}3{sep}1",),
}
FORMS = ({"net": "10.66.", "sep": ".", "len": "24"}, {"net": "fd66:", "sep": "::", "len": "64"})
libc = ctypes.CDLL(None, use_errno=True)


class Place:
    """A network namespace; it ends when it is closed and the last socket in it."""

    def __init__(self) -> None:
        with returning():
            checked(libc.unshare(CLONE_NEWNET))
            self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            ip("link set lo up")
            for name, value in SETTINGS.items():
                Path("/proc/sys", name).write_text(value)

    @contextmanager
    def inside(self) -> Iterator[Self]:
        """This thread is there meanwhile."""
        with returning():
            checked(libc.setns(self.descriptor, CLONE_NEWNET))
            yield self


@contextmanager
def returning() -> Iterator[None]:
    """To the namespace where this thread is now."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        yield
    finally:
        checked(libc.setns(home, CLONE_NEWNET))
        os.close(home)


@contextmanager
def country() -> Iterator[dict[str, Place]]:
    """All places by name, this thread in the relay's; a link is named after where it leads to."""
    places = {name: Place() for name in ROUTES}
    try:
        for one, other, number, mtu in LINKS:
            lay(places, one, other, number, mtu)
        for name, routes in ROUTES.items():
            with places[name].inside():
                for route in (route.format(**form) for form in FORMS for route in routes):
                    ip(f"route add {route}")
        with places["relay"].inside():
            wait_for_the_roads(places)
            yield places
    finally:
        for place in places.values():
            os.close(place.descriptor)


def lay(places: dict[str, Place], one: str, other: str, number: int, mtu: int) -> None:
    descriptor = places[other].descriptor
    with places[one].inside():
        ip(f"link add {other} type veth peer name {one} netns /proc/{os.getpid()}/fd/{descriptor}")
    for name, towards, host in ((one, other, 1), (other, one, 2)):
        with places[name].inside():
            ip(f"addr add 10.66.{number}.{host}/24 dev {towards}")
            ip(f"addr add fd66:{number}::{host}/64 dev {towards} nodad")
            ip(f"link set {towards} mtu {mtu} up")


@contextmanager
def slow(place: Place, link: str) -> Iterator[None]:
    """Meanwhile, what leaves by this link waits its turn: 20 ms for each ICMP error and more."""
    with place.inside():
        subprocess.run(
            f"tc qdisc add dev {link} root tbf rate 200kbit burst 1400 latency 2s".split(), check=True
        )
    try:
        yield
    finally:
        with place.inside():
            subprocess.run(f"tc qdisc del dev {link} root".split(), check=True)


def wait_for_the_roads(places: dict[str, Place]) -> None:
    """A link that is up is used a moment later."""
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        with places["peer"].inside():
            other = socket.socket(family, socket.SOCK_DGRAM)
        with other, socket.socket(family, socket.SOCK_DGRAM) as one:
            other.settimeout(0.02)
            other.bind((THERE[version], 0))
            for _ in range(250):
                with suppress(OSError):
                    one.sendto(b"?", other.getsockname())
                    other.recv(1)
                    break
            else:
                raise TimeoutError(THERE[version])


def ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True)


def checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
