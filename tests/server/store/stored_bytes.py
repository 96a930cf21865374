"""All bytes of a store, as they lie on the disk."""

from __future__ import annotations

from pathlib import Path


def every_byte(folder: Path) -> bytes:
    """The file and what SQLite keeps beside it."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
