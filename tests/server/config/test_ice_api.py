"""The section `server.ice_api:`: off by itself, and what it refuses."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from host.settings import is_read_at_start
from server.config.ice_api import IceApi
from server.config.server import Server


@pytest.mark.parametrize(
    "values",
    [
        {"origins": "*"},
        {"origins": "app.example.org"},
        {"origins": "https://app.example.org/calls"},
        {"credential_seconds": 59},
        {"credential_seconds": 86_401},
        {"credential_seconds": "600"},
        {"per_minute": -1},
        {"per_minute_in_all": 1.5},
        {"token": "0123456789abcdef"},
    ],
)
def test_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IceApi.model_validate(values)


def test_by_itself_nobody_is_answered_and_no_page_may_ask() -> None:
    assert Server().ice_api.token_file is None
    assert Server().ice_api.origins == ()


def test_an_origin_is_kept_as_browsers_write_it() -> None:
    assert IceApi.model_validate({"origins": "https://app.example.org:443/"}).origins == (
        "https://app.example.org",
    )


def test_only_the_token_is_read_again() -> None:
    again = {key for key, field in IceApi.model_fields.items() if not is_read_at_start(field)}
    assert again == {"token_file"}
