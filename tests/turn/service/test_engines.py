"""The file takes the engines that there are, and no other."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from turn.config.section import Turn
from turn.service.engines import ENGINES

NAMES = get_args(Turn.model_fields["engine"].annotation)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_taken_if_there_is_such_an_engine(name: str) -> None:
    if name in ENGINES:
        assert Turn.model_validate({"engine": name}).engine == name
    else:
        with pytest.raises(ValidationError, match="not available yet; write portable"):
            Turn.model_validate({"engine": name})


def test_every_engine_has_a_name_in_the_file() -> None:
    assert set(ENGINES) < set(NAMES)
