"""Whatever colour an operator likes, it can be read on both pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.web.colours import CONTRAST, DARKEST_GROUND, LIGHTEST_GROUND, accents, contrast

COLOURS = st.binary(min_size=3, max_size=3).map(lambda channels: f"#{channels.hex()}")


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#123456", "#123456", 1.0)],
)
def test_contrast_is_that_of_wcag(one: str, other: str, says: float) -> None:
    assert round(contrast(one, other), 2) == round(contrast(other, one), 2) == says


@given(COLOURS)
def test_every_colour_can_be_read(colour: str) -> None:
    light, dark = accents(colour)
    assert contrast(light.colour, LIGHTEST_GROUND) >= CONTRAST
    assert contrast(dark.colour, DARKEST_GROUND) >= CONTRAST
    for accent in (light, dark):
        assert contrast(accent.on_it, accent.colour) >= CONTRAST


def test_a_colour_that_is_dark_enough_stays() -> None:
    assert accents("#5b2a86")[0].colour == "#5b2a86"
    assert accents("#9be7ff")[1].colour == "#9be7ff"
