"""The places in documents that a program writes: found by their comments, and nothing else changes."""

from __future__ import annotations

import pytest

from tests.documents import rewritten, written

TEXT = "before\n<!-- written by make one -->\nold\n<!-- until here -->\nafter\n<!-- until here -->\n"


def test_finds_what_stands_between_the_comments() -> None:
    assert written(TEXT, "make one") == "old\n"


def test_changes_that_place_alone() -> None:
    new = rewritten(TEXT, "make one", "a \\1 line\n")
    assert new == TEXT.replace("old\n", "\na \\1 line\n\n")
    assert written(new, "make one") == "\na \\1 line\n\n"


def test_a_text_without_the_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="make two"):
        rewritten(TEXT, "make two", "anything")
