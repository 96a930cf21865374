"""Which limits can be written; 0 is no limit."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from turn.config.limits import RelayLimits

NUMBERS = sorted(set(RelayLimits.model_fields) - {"trusted"})
REFUSED: list[object] = [-1, 1.5, "5", True, None]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_limit_is_a_number_and_0_is_none(name: str) -> None:
    assert getattr(RelayLimits(), name) > 0
    assert getattr(RelayLimits.model_validate({name: 0}), name) == 0
    for value in REFUSED:
        with pytest.raises(ValidationError):
            RelayLimits.model_validate({name: value})


def test_a_limit_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValidationError, match="allocation"):
        RelayLimits.model_validate({"allocation": 5})


def test_each_says_what_it_is_for() -> None:
    assert all(field.description for field in RelayLimits.model_fields.values())
