"""The section `site:`: what it refuses, and which of its files is read again."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from host.settings import is_read_at_start
from server.config.site import Site, parse_colour


@pytest.mark.parametrize(
    "values", [{"name": ""}, {"name": "x" * 61}, {"languages": ["xx"]}, {"matching": "x"}]
)
def test_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Site.model_validate(values)


def test_rules_stand_in_one_place() -> None:
    with pytest.raises(ValidationError, match="either"):
        Site.model_validate({"rules": "Be kind.", "rules_file": "/etc/calln/rules.txt"})


def test_colours() -> None:
    assert parse_colour("#2C6e63") == "#2c6e63"
    for text in ("green", "#2c6", None):
        with pytest.raises(ValueError, match="in quotes"):
            parse_colour(text)


def test_without_an_address_only_this_machine_is_meant() -> None:
    assert Site().url is None


def test_only_the_password_is_read_again() -> None:
    again = {key for key, field in Site.model_fields.items() if not is_read_at_start(field)}
    assert again == {"password_file"}
