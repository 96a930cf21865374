"""The figures of the table, without encoders: what is made here, and the recorded frames of iLBC."""

from __future__ import annotations

import pytest

from tests.bench.plain_media import (
    BY,
    DOCUMENT,
    ENOUGH,
    Figures,
    comfort_noise,
    events,
    passed_at_first,
    passed_later,
    recorded,
    table,
    text,
)
from tests.documents import written
from tests.turn.call import noise

MADE = {
    "DTMF events": events(),
    "comfort noise": comfort_noise(),
    "text": text(),
    "iLBC, 20 ms": recorded("ilbc_20ms.bin", 38),
    "iLBC, 30 ms": recorded("ilbc_30ms.bin", 50),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("start", range(0, 400, 57))
def test_what_is_plain_is_stopped_at_first_and_later(name: str, start: int) -> None:
    payloads = MADE[name][start : start + ENOUGH + 1]
    assert passed_at_first(payloads) < 64
    assert passed_later(payloads) < ENOUGH


def test_what_looks_encrypted_is_never_stopped() -> None:
    payloads = [noise(number, 60) for number in range(3 * ENOUGH)]
    assert passed_at_first(payloads) == passed_later(payloads) == len(payloads)


def test_the_table_in_the_documents_says_that_all_is_stopped() -> None:
    rows = [
        line.split("|")[1:-1] for line in written(DOCUMENT.read_text("utf-8"), BY).splitlines() if "|" in line
    ]
    assert {row[0].strip() for row in rows[2:]} >= set(MADE)
    assert all(row[-1].strip() == "0" for row in rows[2:])


def test_a_row_of_the_table() -> None:
    block = table({"a codec": Figures([1, 2, 9], [10, 20, 201])}, 0, 100)
    assert "| a codec | 3 | 2, 9 | 20, 201 | 1 |" in block
    assert "Of 1,000,000 packets" in block
    assert "0 were\nrefused; one of 10,000 led to another test." in block
