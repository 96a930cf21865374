"""Colour and logo of a site stand in place of ours, and a drawing cannot do anything."""

from __future__ import annotations

import re

import pytest

from server.config.site import Site
from server.web.colours import accents
from server.web.look import (
    COLOUR,
    ICON,
    MAX_LOGO,
    NO_LOOK,
    PNG,
    STYLE,
    Look,
    as_data,
    files_of,
    from_data,
    logo_suffix,
    own_files,
)
from server.web.page_files import DRAWING, STATIC

DRAWN = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    ("body", "suffix"),
    [
        (PNG + b"...", ".png"),
        (DRAWN, ".svg"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- by hand -->\n<!DOCTYPE svg>\n<svg/>", ".svg"),
    ],
)
def test_svg_and_png_are_logos(body: bytes, suffix: str) -> None:
    assert logo_suffix(body) == suffix
    assert from_data(as_data(body)) == body


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no SVG and no PNG"),
        (b"\xff\xd8\xff", "no SVG and no PNG"),
        (b"<html><svg/></html>", "no SVG and no PNG"),
        (b"<svgx>", "no SVG and no PNG"),
        (PNG + bytes(MAX_LOGO), "larger than 32 KiB"),
    ],
)
def test_other_files_are_none(body: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        logo_suffix(body)


def test_damaged_data() -> None:
    with pytest.raises(ValueError, match="damaged"):
        from_data("data:;base64,***")


def test_without_a_wish_all_is_ours() -> None:
    assert own_files(COLOUR, NO_LOOK) == {}
    assert Site().colour == COLOUR
    for name in ("style.css", ICON):
        assert COLOUR in (STATIC / name).read_text()


def test_the_colour_is_in_style_and_icon() -> None:
    own = own_files("#5b2a86", Look(logo=DRAWN))
    assert own["logo.svg"] == DRAWN
    assert b"#5b2a86" in own[ICON]
    assert COLOUR.encode() not in own[ICON]
    style = own[STYLE].decode()
    assert style.startswith((STATIC / STYLE).read_text())
    assert re.findall("--accent:(#[0-9a-f]{6})", style)[-2:] == [one.colour for one in accents("#5b2a86")]


def test_another_look_has_other_addresses() -> None:
    looks = [files_of(COLOUR, NO_LOOK), files_of("#5b2a86", NO_LOOK), files_of(COLOUR, Look(logo=DRAWN))]
    assert len({files.version for files in looks}) == 3
    assert "sandbox" in DRAWING["content-security-policy"]
