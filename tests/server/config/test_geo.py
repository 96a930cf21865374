"""The section `geo:`: without a file, countries are unknown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from host.settings import is_read_at_start
from server.config.geo import Geo


def test_the_default_knows_no_country() -> None:
    assert Geo().database is None


def test_a_number_is_no_file() -> None:
    with pytest.raises(ValidationError):
        Geo.model_validate({"database": 5})


def test_a_new_file_needs_a_restart() -> None:
    assert all(is_read_at_start(field) for field in Geo.model_fields.values())
