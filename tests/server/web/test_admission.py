"""How many browsers may connect. Origins and passwords are tested with the sockets, in test_websocket.py."""

from __future__ import annotations

import pytest

from server.web.admission import AdmissionRules

# Per address, in all; open from this household, open in all: the code.
CASES = [
    (0, 0, 10_000, 10_000, None),
    (3, 0, 2, 10_000, None),
    (3, 0, 3, 3, 4429),
    (0, 3, 0, 2, None),
    (0, 3, 0, 3, 1013),
    (3, 3, 3, 3, 4429),
]


@pytest.mark.parametrize(("per_address", "in_all", "of_household", "sockets", "code"), CASES)
def test_too_many(per_address: int, in_all: int, of_household: int, sockets: int, code: int | None) -> None:
    rules = AdmissionRules(frozenset(), max_per_address=per_address, max_clients=in_all)
    assert rules.refusal_code(of_household, sockets) == code
