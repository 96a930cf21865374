"""What a page makes of a picture that a stranger built: shown only when its bytes are what they claim."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.live.conftest import Visit
from tests.live.images import png
from tests.live.visitors import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOLIDAY = (Path(__file__).parent / "holiday.jpg").read_bytes()
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="
)
LOSSLESS = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f"  # RFC 9649 §3.4; 14 bits each of width and height follow


def jpeg(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(20)


def webp(width: int, height: int) -> bytes:
    return LOSSLESS + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(8)


# name: the bytes, the type they are sent as, and what the page takes them for (nothing: refused).
CASES: dict[str, tuple[bytes, str, str]] = {
    "a photograph": (HOLIDAY, "image/jpeg", "image/jpeg"),
    "one pixel": (PIXEL, "image/png", "image/png"),
    "a lossless WebP": (webp(100, 100), "image/webp", "image/webp"),
    "a PNG of 50,000 by 50,000": (png(50_000, 50_000), "image/png", ""),
    "a JPEG of 65,500 by 65,500": (jpeg(65_500, 65_500), "image/jpeg", ""),
    "a WebP of 16,384 by 16,384": (webp(16_384, 16_384), "image/webp", ""),
    "a PNG of no size": (png(0, 10), "image/png", ""),
    "a JPEG that ends before its size": (HOLIDAY[:60], "image/jpeg", ""),
    "a GIF": (b"GIF89a" + bytes(40), "image/jpeg", ""),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/jpeg", ""),
    "a PSD": (b"8BPS\0\1" + bytes(40), "image/jpeg", ""),
    "HTML": (b"<!doctype html><script>alert(1)</script>      ", "image/png", ""),
    "a PNG that calls itself JPEG": (PIXEL, "image/jpeg", ""),
    "a PNG that calls itself HTML": (PIXEL, "text/html", ""),
    "two bytes": (b"\xff\xd8", "image/jpeg", ""),
}
TAKE = """async ({ data, mime }) => {
  const { Incoming } = await import("/static/picture.js");
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const frame = new Uint8Array([1, 0, 0, 0, 7, ...bytes]);
  try {
    const incoming = new Incoming({ picture: 7, size: bytes.length, mime }, { message() {} });
    return incoming.take(frame.buffer).type;
  } catch {
    return "";
  }
}"""


async def test_only_what_it_claims_to_be_is_shown(visit: Visit) -> None:
    visitor = await visit()
    taken = {name: await take(visitor, data, mime) for name, (data, mime, _) in CASES.items()}
    assert taken == {name: wanted for name, (_, _, wanted) in CASES.items()}


async def take(visitor: Visitor, data: bytes, mime: str) -> str:
    case: Mapping[str, str] = {"data": base64.b64encode(data).decode(), "mime": mime}
    return str(await visitor.page.evaluate(TAKE, case))


async def test_a_picture_is_drawn_anew_and_small(visit: Visit) -> None:
    """A wide one is made smaller, and what was transparent becomes white."""
    visitor = await visit()
    drawn = await visitor.page.evaluate(
        """async () => {
          const { redraw } = await import("/static/redraw.js");
          const canvas = Object.assign(document.createElement("canvas"), { width: 4000, height: 1000 });
          canvas.getContext("2d").fillRect(0, 0, 1, 1);
          const file = await new Promise((done) => canvas.toBlob(done, "image/png"));
          const blob = await redraw(file, 2097152);
          const picture = await createImageBitmap(blob);
          const look = new OffscreenCanvas(1, 1).getContext("2d");
          look.drawImage(picture, -800, -200);
          const refusal = await redraw(new Blob(["no picture"]), 2097152).catch((error) => error.message);
          const corner = [...look.getImageData(0, 0, 1, 1).data];
          return { type: blob.type, width: picture.width, height: picture.height, corner, refusal };
        }"""
    )
    assert (drawn["type"], drawn["width"], drawn["height"]) == ("image/jpeg", 1600, 400)
    assert drawn["corner"] == [255, 255, 255, 255]
    assert drawn["refusal"] == "unreadable"
