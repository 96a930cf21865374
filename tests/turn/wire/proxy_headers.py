"""Headers as a proxy writes them, and the cases of data/proxied.yaml."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import yaml

from turn.flows import Address
from turn.wire.proxy_protocol import (
    SIGNATURE,
)

CASES = yaml.safe_load((Path(__file__).parents[1] / "data" / "proxied.yaml").read_text())
Case = dict[str, Any]


def titles(rows: list[Case]) -> list[str]:
    return [row["title"] for row in rows]


def header_for(client: Address, entries: bytes = b"") -> bytes:
    """As a proxy writes it that the client reached at an address of nobody."""
    size = len(client.ip)
    kind = (1 if size == 4 else 2) << 4 | (2 if client.transport == "udp" else 1)
    block = client.ip + bytes(size) + struct.pack("!HH", client.port, 3478) + entries
    return SIGNATURE + struct.pack("!BBH", 0x21, kind, len(block)) + block


LOCAL_HEADER = SIGNATURE + bytes((0x20, 0, 0, 0))
