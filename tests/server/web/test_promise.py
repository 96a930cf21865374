"""What the relay promises: of every mode, and in docs/encrypted-only.md word for word."""

from __future__ import annotations

from typing import get_args

import pytest
import yaml

from server.web.promise import FILE, markdown, promises, rewritten
from tests.documents import DOCS
from turn.config.section import Turn

DOCUMENT = DOCS / "encrypted-only.md"
MODES = get_args(Turn.model_fields["encrypted_only"].annotation)


def test_every_mode_has_its_promise() -> None:
    assert set(promises()) == set(MODES)


def test_every_limit_belongs_to_a_mode() -> None:
    promise = yaml.safe_load(FILE.read_text())
    assert {name for mode in promise["modes"].values() for name in mode["limits"]} == set(promise["limits"])


@pytest.mark.parametrize("mode", ["enforce", "compat"])
def test_who_promises_something_says_what_it_cannot(mode: str) -> None:
    assert len(promises()[mode].limits) > 3


def test_the_document_says_the_same() -> None:
    """If not, run `make promise`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert rewritten(text) == text
    for line in markdown(promises().values()):
        assert line in text
