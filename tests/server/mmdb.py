"""Writes a small MMDB: enough of the format for a tree of IPv4 networks and records of maps and strings."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

SEPARATOR = b"\x00" * 16
METADATA = b"\xab\xcd\xefMaxMind.com"


def encode(value: Any) -> bytes:
    if isinstance(value, dict):
        return bytes([0xE0 | len(value)]) + b"".join(encode(part) for item in value.items() for part in item)
    if isinstance(value, list):
        return bytes([len(value), 0x04]) + b"".join(encode(item) for item in value)
    if isinstance(value, int):
        return b"\x08\x02" + value.to_bytes(8, "big")
    if isinstance(value, bytes):  # a number that is to be short: two bytes or four
        return bytes([{2: 0xA0, 4: 0xC0}[len(value)] | len(value)]) + value
    text: bytes = value.encode()
    head = bytes([0x40 | len(text)]) if len(text) < 29 else bytes([0x5D, len(text) - 29])
    return head + text


def write(networks: dict[str, Any], built: int = 1_750_000_000) -> bytes:
    """The bytes of a database that gives these records for these networks."""
    nodes: list[list[Any]] = [[None, None]]
    data = b""
    for text, record in networks.items():
        network = IPv4Network(text)
        bits = f"{int(network.network_address):032b}"[: network.prefixlen]
        node = 0
        for bit in bits[:-1]:
            if nodes[node][int(bit)] is None:
                nodes.append([None, None])
                nodes[node][int(bit)] = len(nodes) - 1
            node = nodes[node][int(bit)]
        nodes[node][int(bits[-1])] = ("data", len(data))
        data += encode(record)
    return tree(nodes) + SEPARATOR + data + METADATA + encode(about(len(nodes), built))


def tree(nodes: list[list[Any]]) -> bytes:
    def number(entry: Any) -> int:
        if entry is None:
            return len(nodes)
        return len(nodes) + 16 + entry[1] if isinstance(entry, tuple) else int(entry)

    return b"".join(number(entry).to_bytes(3, "big") for node in nodes for entry in node)


def about(count: int, built: int) -> dict[str, Any]:
    return {
        "binary_format_major_version": b"\x00\x02",
        "binary_format_minor_version": b"\x00\x00",
        "build_epoch": built,
        "database_type": "Test-Country",
        "description": {"en": "A test database by nobody"},
        "ip_version": b"\x00\x04",
        "languages": ["en"],
        "node_count": count.to_bytes(4, "big"),
        "record_size": b"\x00\x18",
    }
