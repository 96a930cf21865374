"""What the relay needs of this machine before it starts: addresses to listen at, and what else is checked."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TypeVar

from host import certificates
from host.startup import Unavailable
from host.tls import BadCertificate
from turn.config.section import Turn
from turn.engines import CannotListen
from turn.flows import Address
from turn.service.from_config import relay_certificate

log = logging.getLogger("calln.relay")

T = TypeVar("T")

NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)

WHAT_TO_DO = {
    errno.EADDRINUSE: "stop what has the port (ss -lntup shows it), or write another in turn.listen",
    errno.EADDRNOTAVAIL: "this machine has no such address; write one of its own in turn.listen",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; grant it, or write another in turn.listen",
}


def open_listeners(
    make: Callable[[Sequence[Address]], T], wanted: Sequence[Address]
) -> tuple[T, tuple[Address, ...]]:
    """What `make` makes of these addresses, and the addresses: without IPv6 on this machine only those of
    IPv4. Raises Unavailable."""
    left = tuple(wanted)
    while left:
        try:
            return make(left), left
        except BadCertificate as problem:
            raise Unavailable(f"turn.certificate, turn.key: {problem}") from None
        except CannotListen as error:
            if not lacks_ipv6(error):
                advice = WHAT_TO_DO.get(error.reason.errno or 0, "write another address in turn.listen")
                raise Unavailable(f"{error}; {advice}") from None
            log.warning("no IPv6 on this machine: not listening at %s", error.address)
            left = tuple(address for address in left if address != error.address)
    raise Unavailable("turn.listen names IPv6 addresses only, and this machine has no IPv6")


def lacks_ipv6(error: CannotListen) -> bool:
    """Whether the machine has no IPv6 at all; else it only lacks this address."""
    version_6 = len(error.address.ip) == 16
    wildcard_fails = error.reason.errno in NO_IPV6 and not any(error.address.ip)
    return version_6 and (wildcard_fails or error.reason.errno == errno.EAFNOSUPPORT)


def check_relay_addresses(turn: Turn, own: frozenset[bytes]) -> None:
    """Raises Unavailable."""
    for ip in turn.relay_addresses:
        if ip.packed not in own:
            raise Unavailable(
                f"turn.relay_addresses: {ip} is no address of this machine; write one of its own"
            )


def check_loopback_peers(turn: Turn, own: frozenset[bytes]) -> None:
    """Raises Unavailable if strangers could reach ports that only this machine itself may reach."""
    public = any(ip_address(ip).is_global for ip in own)
    if public and turn.allow_loopback_peers and any(not any(listener.ip) for listener in turn.listen):
        raise Unavailable(
            "turn.allow_loopback_peers: this machine has a public address, and turn.listen names all of its "
            "addresses: strangers would reach its own ports; listen at 127.0.0.1, or leave the key out"
        )


def check_certificate(turn: Turn) -> None:
    """Raises Unavailable for files that TLS cannot use; an expired certificate is only a warning."""
    try:
        certificates.warn_if_invalid(relay_certificate(turn))
    except BadCertificate as problem:
        raise Unavailable(f"turn.certificate, turn.key: {problem}") from None
