"""Picture files that a test builds by itself."""

from __future__ import annotations

import struct
import zlib


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """The beginning of a PNG that says to be so large, and further chunks."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    whole = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + whole + b"".join(chunks)
