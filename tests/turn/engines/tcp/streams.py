"""What clients of TCP and TLS say in these tests, and a proxy before them."""

from __future__ import annotations

import struct

import pytest

from tests.turn.engines.certificates import certificate
from tests.turn.engines.world import (
    attribute,
    stun,
)
from turn.engines import Streams
from turn.flows import Address

CHANNEL = 0x4001
HELLO = stun(0x0001, b"")
streams = pytest.mark.parametrize("transport", ["tcp", "tls"])


def numbered(number: int) -> bytes:
    return stun(0x0001, attribute(0x8022, struct.pack("!H", number)))


PROXY = "127.0.0.2"
OTHER_PROXY = "127.0.0.3"
PROXY_IP = Address.of(PROXY, 1).ip
PROXIES = {PROXY_IP, Address.of(OTHER_PROXY, 1).ip}
BEHIND = Streams(is_proxy=lambda ip: ip in PROXIES, certificate=certificate())
