"""The relay's section: what each key accepts, and that every limit reaches the core."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from turn.config import Limits, Turn
from turn.policies import Limits as Policy


def test_every_limit_of_the_file_is_one_of_the_core_with_the_same_default() -> None:
    """A key that nothing reads, or a limit that nobody can set, fails here."""
    assert set(Limits.model_fields) == set(Policy.__dataclass_fields__)
    assert Limits().model_dump() == vars(Policy())


@pytest.mark.parametrize("key", ["sha256", "behaviour_discovery", "classic_stun", "allow_loopback_peers"])
def test_what_makes_replies_larger_or_reaches_further_is_off(key: str) -> None:
    assert getattr(Turn(), key) is False
    assert getattr(Turn.model_validate({key: True}), key) is True


@pytest.mark.parametrize(
    "keys",
    [
        {"sha256": "yes"},
        {"sha256": 1},
        {"classic_stun": "true"},
        {"limits": {"permissions": -1}},
        {"limits": {"channels": "many"}},
        {"limits": {"wrong_passwords": 2.5}},
        {"limits": {"unauthenticated_in_all": None}},
        {"limits": {"permission": 5}},
    ],
)
def test_what_is_no_value_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Turn.model_validate(keys)
