"""The addresses that the network interfaces of this machine have now."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import ifaddr


def interface_addresses() -> Iterator[IPv4Address | IPv6Address]:
    """Without the scopes of link-local ones. Raises OSError."""
    for interface in ifaddr.get_adapters():
        for found in interface.ips:
            text = found.ip if isinstance(found.ip, str) else found.ip[0]
            yield ip_address(text.partition("%")[0])
