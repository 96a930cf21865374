"""Steps as JSON."""

from __future__ import annotations

import json

import pytest

from deploy.agent.steps import ACTIONS
from deploy.remote.orders import apply_order, as_order
from deploy.remote.steps import AddRelease, File, Install, Put, Remove, Run, Step, Switch

FILE = File("/etc/calln/x", "text\n", 0o640, "root", "calln")
STEPS: tuple[Step, ...] = (
    Install(("certbot",)),
    Put(FILE, None, exists=False),
    AddRelease("1-a-b", "1-a", None, FILE),
    Remove("/etc/calln"),
    Run(("true",), "Do nothing."),
    Switch(None, "1-a-b", ("turn",)),
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_every_kind_has_a_hand_and_comes_through_json(step: Step) -> None:
    order = as_order(step, ("/tmp/x", "00"))
    assert json.loads(json.dumps(order)) == order
    assert order["kind"] in ACTIONS
    assert order["sentence"] == str(step)


def test_every_hand_has_a_step() -> None:
    assert {kind.__name__ for kind in Step.__args__} == set(ACTIONS)


def test_only_code_that_is_shipped_has_an_archive() -> None:
    shipped, copied = (as_order(AddRelease("b", "a", like, FILE), ("/tmp/x", "00")) for like in (None, "a"))
    assert shipped["archive"] == {"place": "/tmp/x", "sha256": "00"}
    assert "archive" not in copied


def test_who_is_told() -> None:
    assert "@" in apply_order([])["who"]
