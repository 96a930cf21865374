"""What came of a client, from what it printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interop.relay import Relay
from tests.interop.run import Said, answers, listen, outcome

RELAY = Relay(1, 2, 3, Path("trust.pem"))
OUTCOMES = [
    (Said("heard 20 through relay", 0), "ok"),
    (Said("heard 20 through relay", 1), "exit 1"),
    (Said("heard 19 through relay", 0), "exit 0"),
    (Said("allocate: error 442 ()", 255), "442"),
    (Said("error 401 ()\nerror 486 ()", 255), "486"),
    (Said("heard 20 through relay", None), "no answer"),
]


@pytest.mark.parametrize(("said", "wanted"), OUTCOMES)
def test_an_outcome_is_a_word(said: Said, wanted: str) -> None:
    assert outcome(said, "heard 20 through relay$") == wanted


async def test_a_client_is_heard_and_its_exit_code_kept() -> None:
    said = await listen([sys.executable, "-c", "print('words'); raise SystemExit(3)"], RELAY, 30)
    assert said == Said("words", 3)


async def test_one_that_hangs_is_ended() -> None:
    said = await listen(
        [sys.executable, "-c", "print('words', flush=True); import time; time.sleep(60)"], RELAY, 2
    )
    assert said == Said("words", None)


def test_nobody_answers_where_no_relay_is() -> None:
    assert not answers("127.0.0.1", 1)
