"""Which addresses belong to this machine: those of its interfaces, and others by a route.

The interfaces are read now and then. Between two readings an address can be added, and a route can keep a
whole network on this machine though no interface has it. So before anything is sent to an address that no
interface has, the kernel is asked about it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from time import monotonic

from host.interfaces import interface_addresses
from turn.flows import Address

FRESH_SECONDS = 1.0  # how long an answer of the kernel holds
MAX_ANSWERS = 4096  # kept; then all are dropped: strangers choose the addresses
DISCARD = 9  # any port: nothing is sent
NO_ROUTE = {  # errors that mean: no packet goes there, so it is not this machine
    errno.EACCES,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EHOSTUNREACH,
    errno.EINVAL,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EPERM,
}


class OwnAddresses(frozenset[bytes]):
    """The addresses of the interfaces; `in` also asks the kernel."""

    answers: dict[bytes, tuple[float, bool]]

    def __new__(cls, addresses: Iterable[bytes]) -> OwnAddresses:
        own = super().__new__(cls, addresses)
        own.answers = {}
        return own

    def __contains__(self, ip: object) -> bool:
        return super().__contains__(ip) or (isinstance(ip, bytes) and self.is_local(ip))

    def is_local(self, ip: bytes) -> bool:
        now = monotonic()
        asked, answer = self.answers.get(ip, (-FRESH_SECONDS, False))
        if now - asked >= FRESH_SECONDS:
            if len(self.answers) >= MAX_ANSWERS:
                self.answers.clear()
            answer = stays_here(ip)
            self.answers[ip] = now, answer
        return answer


def stays_here(ip: bytes) -> bool:
    """Whether packets to this address stay on this machine: then the kernel sends them from the same address.
    If the kernel cannot be asked, for example without a free descriptor, the answer is yes: the safe one."""
    family = socket.AF_INET if len(ip) == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((socket.inet_ntop(family, ip), DISCARD))
            return socket.inet_pton(family, sock.getsockname()[0]) == ip
    except OSError as error:
        return error.errno not in NO_ROUTE


def own_addresses() -> frozenset[bytes]:
    """Every address of this machine."""
    return OwnAddresses(Address.of(str(ip), 0).ip for ip in interface_addresses())
