"""The site's colour in a light and in a dark form, both readable (WCAG 2.2 §1.4.3)."""

from __future__ import annotations

from typing import NamedTuple

CONTRAST = 5.5  # 4.5 is the least; texts also stand on a ground that is a little of the colour
LIGHTEST_GROUND, DARKEST_GROUND = "#f5f4f0", "#1e2524"  # in style.css: what texts of the colour stand on
STEPS = 50


class Accent(NamedTuple):
    """A colour for texts and buttons, and one for words on such a button."""

    colour: str
    on_it: str


def accents(colour: str) -> tuple[Accent, Accent]:
    """For the light page and for the dark one: the colour, or the nearest that can be read there."""
    light = nearest(colour, "#000000", LIGHTEST_GROUND)
    dark = nearest(colour, "#ffffff", DARKEST_GROUND)
    return Accent(light, "#ffffff"), Accent(dark, "#0d1412")


def nearest(colour: str, towards: str, ground: str) -> str:
    mixed = (mix(colour, towards, step / STEPS) for step in range(STEPS + 1))
    return next(one for one in mixed if contrast(one, ground) >= CONTRAST)


def channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def mix(one: str, other: str, part: float) -> str:
    pairs = zip(channels(one), channels(other), strict=True)
    return "#" + bytes(round(a + (b - a) * part) for a, b in pairs).hex()


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """How bright it seems, from 0 to 1."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in channels(colour))
    ]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
