"""What a camera wrote into a picture does not leave the browser, also where drawings are falsified."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable

import pytest
from playwright.async_api import FilePayload, Playwright

from tests.live.browsers import KINDS, Browsers
from tests.live.conftest import Visit
from tests.live.images import png
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
COUNT_ADDRESSES = """() => {
  window.addresses = { made: 0, live: new Set() };
  const [create, revoke] = [URL.createObjectURL.bind(URL), URL.revokeObjectURL.bind(URL)];
  URL.createObjectURL = (blob) => {
    const address = create(blob);
    addresses.made += 1;
    addresses.live.add(address);
    return address;
  };
  URL.revokeObjectURL = (address) => addresses.live.delete(address) && revoke(address);
}"""
DROP = """async () => {
  const given = new DataTransfer();
  given.items.add(new File(["\\0\\0\\0\\x18ftypheic"], "x.heic"));
  const event = new DragEvent("drop", { dataTransfer: given, cancelable: true, bubbles: true });
  document.body.dispatchEvent(event);
  return event.defaultPrevented;
}"""
MOVES = """async (data) => {
  const { moves } = await import("/static/moves.js");
  return moves(new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))]));
}"""
PICTURE = (
    b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\1\0\1\0\0\x02\x02\x44\x01\0"  # GIF89a §20 to §23: one of one pixel
)
GIF = b"GIF89a\1\0\1\0\x80\0\0" + bytes(6)
WEBP = b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0"


def animated(frames: int) -> bytes:
    """The head of a PNG with so many pictures, and the first of them."""
    control = b"acTL" + struct.pack(">II", frames, 0)
    whole = struct.pack(">I", 8) + control + struct.pack(">I", zlib.crc32(control))
    return png(1, 1) + whole + struct.pack(">I", 0) + b"IDAT" + bytes(4)


# What is looked at: the file, and whether only a part of it would be sent.
MOVING = {
    "a GIF of one picture": (GIF + PICTURE + b";", False),
    "a GIF of two pictures": (GIF + PICTURE * 2 + b";", True),
    "a GIF with a comment": (GIF + b"\x21\xfe\3abc\0" + PICTURE + b";", False),
    "a GIF that breaks off": (GIF + PICTURE[:12], False),
    "a PNG": (png(1, 1), False),
    "an animated PNG": (animated(2), True),
    "an animated PNG of one picture": (animated(1), False),
    "a PNG that breaks off": (animated(2)[:40], False),
    "a WebP": (WEBP + b"\x10" + bytes(9), False),
    "an animated WebP": (WEBP + b"\x12" + bytes(9), True),
    "a JPEG": (HOLIDAY.read_bytes(), False),
    "nothing": (b"", False),
}


async def test_what_moves_is_told_from_what_does_not(visit: Visit) -> None:
    visitor = await visit()
    found = {
        name: await visitor.page.evaluate(MOVES, base64.b64encode(data).decode())
        for name, (data, _) in MOVING.items()
    }
    assert found == {name: moves for name, (_, moves) in MOVING.items()}


@pytest.mark.parametrize("pictures", [1, 2])
async def test_of_a_moving_picture_one_is_told_that_only_the_first_goes(visit: Visit, pictures: int) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    chosen: FilePayload = {
        "name": "x.gif",
        "mimeType": "image/gif",
        "buffer": GIF + PICTURE * pictures + b";",
    }
    await one.page.set_input_files("#file", chosen)
    dialog = one.page.get_by_role("dialog", name="Send this picture?")
    await dialog.get_by_text(
        "What the camera wrote into the file, such as the place, is left out."
    ).wait_for()
    told = dialog.get_by_text("Only the first picture of a moving one is sent.")
    assert await told.is_visible() is (pictures > 1)
    await one.press("Send the picture")
    await other.until_picture()
    assert (await other.pictures())[-1].startswith(b"\xff\xd8\xff")  # a JPEG, which does not move


# What is written, and from where it is read, whichever way the page is.
DIRECTIONS = {"שלום, 123!": "rtl", "Hello, 123!": "ltr"}
DIRECTION = "(place) => getComputedStyle(place).direction"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_line_is_read_from_the_side_of_its_own_language(
    browsers: Browsers, visit: Visit, kind: str
) -> None:
    browser = await browsers.of(kind)
    one, other = await visit(browser=browser), await visit(browser=browser, locale="he")
    for visitor in (one, other):
        await visitor.page.locator("#start").click()
    for visitor in (one, other):
        await visitor.until_state("talking")
    assert [await visitor.page.evaluate("document.dir") for visitor in (one, other)] == ["ltr", "rtl"]
    for text, direction in DIRECTIONS.items():
        for visitor, partner in ((one, other), (other, one)):
            field = visitor.page.locator("#message")
            await field.fill(text)
            assert await field.evaluate(DIRECTION) == direction
            await field.press("Enter")
            for place in (visitor, partner):
                line = place.page.locator("#log .said").get_by_text(text, exact=True).last
                await line.wait_for()
                assert await line.evaluate(DIRECTION) == direction


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


async def test_what_was_looked_at_leaves_nothing_in_the_memory(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.page.evaluate(COUNT_ADDRESSES)
    for pasted in (1, 2, 3):
        await one.page.evaluate(PASTE)
        await one.until("(pasted) => addresses.made === pasted", pasted)
    await one.page.keyboard.press("Escape")
    await one.until("() => addresses.live.size === 0")
