"""What a proxy says of a client before it forwards the client's bytes: the PROXY protocol, version 2.

The sections are those of HAProxy's proxy-protocol.txt. Version 1 is not read: it is a line of text whose end
must be searched for, and it has no UDP.
"""

from __future__ import annotations

from turn.flows import Address, Transport

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
PREFIX = 16  # signature, version and command, family and protocol, length of the rest
LARGEST = 4096  # bytes; the header may include facts of a client's certificate, and no proxy sends more
LOCAL, PROXY = 0x20, 0x21  # version 2, and the command
STREAM, DATAGRAM = 1, 2
SIZES = {1: 4, 2: 16}  # family -> bytes of an address
CRC32C = 3
ENTRY = 3  # a type of one byte, a length of two
MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address within IPv6 (RFC 4291 §2.5.5.2)


class BadHeader(Exception):
    """The header is not valid; the text says why, and quotes nothing of it."""


def header_size(start: bytes) -> int:
    """The size of a header by its first bytes; 16 until more is known. Raises BadHeader."""
    if start[:12] != SIGNATURE[: len(start)]:
        is_text = start.startswith(b"PROXY"[: len(start)])
        raise BadHeader("the header is of version 1, not 2" if is_text else "there is no header")
    if len(start) < PREFIX:
        return PREFIX
    size = PREFIX + int.from_bytes(start[14:16])
    if size > LARGEST:
        raise BadHeader("the header is too long")
    return size


def client_of(header: bytes, transport: Transport) -> Address | None:
    """The client in a complete header; None if the proxy speaks for itself (LOCAL, §2.2). Raises BadHeader.

    The client came to the proxy by `transport`, with TLS or without.
    """
    if header[12] == LOCAL:
        return None
    family, protocol = divmod(header[13], 16)
    size = SIZES.get(family)
    if header[12] != PROXY:
        raise BadHeader("the header's version or command is unknown")
    if size is None or protocol != (DATAGRAM if transport == "udp" else STREAM):
        raise BadHeader("the header speaks of another protocol")
    entries = PREFIX + 2 * size + 4
    if len(header) < entries:
        raise BadHeader("the header is too short")
    check_entries(header, entries)
    ip, port = header[PREFIX : PREFIX + size], int.from_bytes(header[entries - 4 : entries - 2])
    return checked_client(ip.removeprefix(MAPPED) if size == 16 else ip, port, transport)


def reached_at(header: bytes, transport: Transport) -> Address:
    """The address of the proxy that the client was connected to, in a header that names a client."""
    size = SIZES[header[13] >> 4]
    ip, port = (
        header[PREFIX + size : PREFIX + 2 * size],
        header[PREFIX + 2 * size + 2 : PREFIX + 2 * size + 4],
    )
    return Address(ip.removeprefix(MAPPED) if size == 16 else ip, int.from_bytes(port), transport)


def build_header(client: Address, reached: Address) -> bytes:
    """The header for a client that came over TCP or TLS, to an address of the same family."""
    family = next(number for number, size in SIZES.items() if size == len(client.ip))
    block = client.ip + reached.ip + client.port.to_bytes(2) + reached.port.to_bytes(2)
    return SIGNATURE + bytes((PROXY, family << 4 | STREAM)) + len(block).to_bytes(2) + block


def checked_client(ip: bytes, port: int, transport: Transport) -> Address:
    """The client's address. Raises BadHeader if no client can have it: port 0, unspecified, multicast."""
    is_one = 0 < ip[0] < 224 if len(ip) == 4 else any(ip) and ip[0] != 0xFF
    if not port or not is_one:
        raise BadHeader("the header names a client that cannot be")
    return Address(ip, port, transport)


def check_entries(header: bytes, at: int) -> None:
    """Check the entries after the addresses; one may be a checksum (§2.2.3). Raises BadHeader."""
    while at < len(header):
        start, end = at + ENTRY, at + ENTRY + int.from_bytes(header[at + 1 : at + ENTRY])
        if start > len(header) or end > len(header):
            raise BadHeader("an entry of the header is cut off")
        if header[at] == CRC32C and (
            end - start != 4 or crc32c(header[:start] + bytes(4) + header[end:]) != header[start:end]
        ):
            raise BadHeader("the header's checksum is wrong")
        at = end


def crc_row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # RFC 9260 appendix A: Castagnoli's, reflected
    return byte


CRC_TABLE = tuple(map(crc_row, range(256)))


def crc32c(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return (crc ^ 0xFFFFFFFF).to_bytes(4)
