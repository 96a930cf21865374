"""What a camera wrote into a picture does not leave the browser, also where drawings are falsified."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable

import pytest
from playwright.async_api import Playwright

from tests.live.conftest import Visit
from tests.live.said import HOLIDAY
from tests.live.visitors import FIREFOX, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = b"canary GPS 48.2082N 16.3738E"
DRAWN = """async (mime) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 40, height: 20 });
  const context = canvas.getContext("2d");
  context.fillStyle = "#20a060";
  context.fillRect(0, 0, 40, 20);
  const blob = await new Promise((done) => canvas.toBlob(done, mime));
  return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
}"""
STRIP = """async (data) => {
  const { stripped } = await import("/static/strip.js");
  const blob = stripped(Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)));
  const { width, height } = await createImageBitmap(blob);
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return { type: blob.type, size: [width, height], data: btoa(String.fromCharCode(...bytes)) };
}"""
DAMAGED = """async (data) => {
  const { stripped } = await import("/static/strip.js");
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  let whole = 0;
  for (let end = 0; end < bytes.length; end += 1) {
    try {
      stripped(bytes.slice(0, end));
      whole += 1;
    } catch (error) {
      if (error.message !== "unreadable") throw error;
    }
  }
  return whole;
}"""


def exif(orientation: int) -> bytes:
    """With the canary as a maker's note, and which way up."""
    entries = struct.pack(">HHHIHH", 2, 0x0112, 3, 1, orientation, 0)
    entries += struct.pack(">HHII", 0x927C, 7, len(CANARY), 38) + bytes(4)
    return b"MM\0*\0\0\0\x08" + entries + CANARY


def with_segments(jpeg: bytes) -> bytes:
    """Behind the first marker, and behind the end, where phones keep a film."""
    body = b"Exif\0\0" + exif(6)
    segments = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    for marker in (b"\xff\xe2", b"\xff\xed", b"\xff\xfe"):
        segments += marker + struct.pack(">H", len(CANARY) + 2) + CANARY
    return jpeg[:2] + segments + jpeg[2:] + b"ftypmp42" + CANARY


def with_chunks(png: bytes) -> bytes:
    chunks = b""
    for kind in (b"tEXt", b"iTXt", b"eXIf", b"tIME", b"iCCP", b"prVt"):
        chunks += (
            struct.pack(">I", len(CANARY)) + kind + CANARY + struct.pack(">I", zlib.crc32(kind + CANARY))
        )
    return png[:33] + chunks + png[33:] + CANARY


def with_riff(webp: bytes) -> bytes:
    """As RFC 9649 §2.7 has it: VP8X before the picture, EXIF and XMP behind it."""
    wide = b"VP8X" + struct.pack("<IBxxx", 10, 0x0C) + struct.pack("<I", 39)[:3] + struct.pack("<I", 19)[:3]
    if webp[12:16] == b"VP8X":  # it has one already, because it may be transparent
        wide = b""
    more = b"".join(kind + struct.pack("<I", len(CANARY)) + CANARY for kind in (b"EXIF", b"XMP "))
    body = b"WEBP" + wide + webp[12:] + more
    return b"RIFF" + struct.pack("<I", len(body)) + body


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "image/jpeg": with_segments,
    "image/png": with_chunks,
    "image/webp": with_riff,
}


async def test_bytes_are_cleaned_and_the_picture_stays(visit: Visit) -> None:
    visitor = await visit()
    for mime, form in FORMS.items():
        bare = base64.b64decode(await visitor.page.evaluate(DRAWN, mime))
        full = form(bare)
        assert CANARY in full
        made = await visitor.page.evaluate(STRIP, base64.b64encode(full).decode())
        assert CANARY not in base64.b64decode(made["data"])
        turned = mime == "image/jpeg"  # which way up is all that is kept of the camera's words
        assert (made["type"], made["size"]) == (mime, [20, 40] if turned else [40, 20])
    holiday = await visitor.page.evaluate(STRIP, base64.b64encode(HOLIDAY.read_bytes()).decode())
    assert b"GPS" not in base64.b64decode(holiday["data"])


async def test_a_file_that_breaks_off_is_refused(visit: Visit) -> None:
    visitor = await visit()
    for mime in ("image/jpeg", "image/png"):
        bare = base64.b64decode(await visitor.page.evaluate(DRAWN, mime))
        assert await visitor.page.evaluate(DAMAGED, base64.b64encode(bare).decode()) == 0


async def test_a_firefox_that_falsifies_drawings_sends_the_picture_as_it_is(
    playwright: Playwright, visit: Visit
) -> None:
    browser = await playwright.firefox.launch(
        channel="moz-firefox",
        executable_path="/usr/bin/firefox-esr",
        firefox_user_prefs={**FIREFOX, "privacy.resistFingerprinting": True},
    )
    one, other = await visit(browser=browser), await visit()
    await talk(one, other)
    await one.page.set_input_files("#file", HOLIDAY)
    await one.press("Send the picture")
    await other.until_picture()
    arrived = (await other.pictures())[-1]
    assert arrived[-2000:] == HOLIDAY.read_bytes()[-2000:]  # not drawn anew
    assert b"GPS" not in arrived
    await browser.close()


PASTE = """async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 300, height: 200 });
  canvas.getContext("2d").fillRect(0, 0, 300, 200);
  const blob = await new Promise((done) => canvas.toBlob(done));
  const given = new DataTransfer();
  given.items.add(new File([blob], "pasted.png", { type: "image/png" }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given, cancelable: true }));
}"""
DROP = """async () => {
  const given = new DataTransfer();
  given.items.add(new File(["\\0\\0\\0\\x18ftypheic"], "x.heic"));
  const event = new DragEvent("drop", { dataTransfer: given, cancelable: true, bubbles: true });
  document.body.dispatchEvent(event);
  return event.defaultPrevented;
}"""
WRITTEN = "first line\nsee https://example.org/a_(b)?c=1, or javascript:alert(1)"


async def test_looked_at_before_it_goes_and_blurred_until_it_is_wanted(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.page.evaluate(PASTE)
    dialog = one.page.get_by_role("dialog", name="Send this picture?")
    await dialog.wait_for()
    await one.page.keyboard.press("Escape")
    await dialog.wait_for(state="hidden")
    await one.page.evaluate(PASTE)
    await one.press("Send the picture")
    await other.until_picture()
    assert await other.page.locator("#log img").count() == 1  # the first one was not sent
    veiled = other.page.locator("#log .veiled img")
    assert "blur" in await veiled.evaluate("(image) => getComputedStyle(image).filter")
    await other.press("Show the picture")
    assert await veiled.count() == 0
    await other.press("Enlarge the picture")
    await other.page.get_by_role("dialog", name="Picture").get_by_role("button", name="Close").click()
    assert await one.page.evaluate(DROP)  # else the browser would leave the page for the file
    await one.until_says("cannot read HEIC")
    assert await one.page.locator("#log .veiled").count() == 0


async def test_lines_and_links(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.page.get_by_label("Message").press_sequentially(WRITTEN.split("\n")[0])
    low = await one.page.locator("#message").evaluate("(field) => field.offsetHeight")
    await one.page.keyboard.press("Shift+Enter")
    await one.page.keyboard.type(WRITTEN.split("\n")[1])
    assert await one.page.locator("#message").evaluate("(field) => field.offsetHeight") > low
    await one.page.keyboard.press("Enter")
    said = other.page.locator("#log .said")
    await said.wait_for()
    assert await said.evaluate("(said) => said.textContent") == WRITTEN
    links = said.get_by_role("link")
    assert await links.count() == 1
    assert await links.get_attribute("href") == "https://example.org/a_(b)?c=1"
    assert await links.get_attribute("rel") == "noopener noreferrer nofollow"
    assert await one.page.locator("#message").evaluate("(field) => field.offsetHeight") <= low
    assert [*one.complaints, *other.complaints] == []
