"""Which addresses are this machine's: those of its interfaces, and what its routing table keeps here beside.

The interfaces are read now and then; between two readings an address can come, and a route can keep a whole
network on this machine without any interface having it. So an address that no interface has is also asked
of the kernel, before anything is sent to it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from time import monotonic

import ifaddr

from turn.flows import Address

FRESH_SECONDS = 1.0  # how long an answer of the kernel is believed
MAX_ANSWERS = 4096  # remembered; then all are forgotten: strangers choose what is asked
DISCARD = 9  # any port: nothing is sent
NO_WAY = {  # what the kernel says where no packet would go: not to this machine either
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
    """A set of addresses that knows more than it lists."""

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
    """Whether packets to this address would not leave this machine: then they are sent from it, too. Who
    cannot ask, as without a free descriptor, has to take it for its own."""
    family = socket.AF_INET if len(ip) == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((socket.inet_ntop(family, ip), DISCARD))
            return socket.inet_pton(family, sock.getsockname()[0]) == ip
    except OSError as error:
        return error.errno not in NO_WAY


def own_addresses() -> frozenset[bytes]:
    """Every address of this machine's interfaces."""
    texts = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for nic in ifaddr.get_adapters() for ip in nic.ips]
    return OwnAddresses(Address.of(text.partition("%")[0], 0).ip for text in texts)
