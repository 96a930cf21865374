"""The messages as values, and the codes of the errors."""

from __future__ import annotations

import pytest

from server.signalling.messages import ERRORS, MALFORMED, MessageError, Text


def test_messages_are_frozen() -> None:
    message = Text(call="c", text="hello")
    with pytest.raises(AttributeError):
        message.text = "other"  # type: ignore[misc]


def test_an_error_has_a_code_and_the_id_of_its_message() -> None:
    error = MessageError("bad_text", "a1")
    assert (error.code, error.id, str(error)) == ("bad_text", "a1", "bad_text")
    assert MessageError("bad_json").id is None


def test_what_is_malformed_has_codes_of_errors() -> None:
    assert set(ERRORS) > MALFORMED
