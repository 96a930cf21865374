"""The first bytes of each kind of picture."""

from __future__ import annotations

HEADS = {
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d",
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
    "image/webp": b"RIFF\x10\x00\x00\x00WEBP",
}
