"""What the doctor says of the channel from server to relays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.doctor import channel
from deploy.doctor.machine import Finding, LocalMachine
from deploy.doctor.operator_client import OperatorError
from tests.deploy.doctor.local_machine import local_machine

HEARD = Finding(True, "The relay hears from a server which calls were checked and who is banned.")
Rows = list[dict[str, Any]]


def figures(servers: float) -> Rows:
    return [{"name": "calln_relay_servers", "labels": {}, "value": servers}]


def link(host: str, problem: str = "") -> dict[str, Any]:
    return {"host": host, "problem": problem, "untold": 0}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "LOOK_SECONDS", 0.0)


def answering(
    monkeypatch: pytest.MonkeyPatch, relays: Callable[[], Rows], stats: Rows, left_out: int = 0
) -> None:
    def answer(_: Path, __: str, path: str, **___: object) -> dict[str, Any]:
        told = {"relays": relays(), "bans_left_out": left_out} if path == "/relays" else {}
        return told or {"figures": stats}

    monkeypatch.setattr(channel, "request_json", answer)


def nobody() -> Rows:
    raise OperatorError


def found(machine: LocalMachine) -> list[tuple[bool, str]]:
    return [(finding.well, finding.text) for finding in channel.check_channel(machine)]


@pytest.mark.parametrize(("users", "well"), [({}, False), ({"alice": "a long password"}, True)])
def test_a_relay_that_hears_no_server_is_told(
    monkeypatch: pytest.MonkeyPatch, users: dict[str, str], well: bool
) -> None:
    answering(monkeypatch, nobody, figures(0.0))
    [(is_well, text)] = found(local_machine(figures(0.0), users=users))
    assert is_well is well
    assert "No server speaks to the relay" in text


@pytest.mark.parametrize("now", [0.0, 1.0])
def test_a_relay_that_has_just_started_may_hear_it_soon(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    answering(monkeypatch, nobody, figures(1.0))
    assert list(channel.check_channel(local_machine(figures(now)))) == [HEARD]


def test_a_relay_that_does_not_hear_the_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [link("turn1.example"), link("turn2.example", "it has another secret")]
    answering(monkeypatch, lambda: rows, figures(1.0))
    assert found(local_machine(figures(1.0))) == [
        (True, HEARD.text),
        (True, "The relay at turn1.example hears the server."),
        (False, "The relay at turn2.example does not hear the server: it has another secret."),
    ]


def test_a_relay_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {"turn1.example": (True, True), "turn2.example": (False, False), "turn3.example": (False, True)}
    rows = [{**link(host), "lives": lives, "answers": answers} for host, (lives, answers) in seen.items()]
    answering(monkeypatch, lambda: rows, figures(1.0))
    assert found(local_machine(figures(1.0)))[1:] == [
        (True, "The relay at turn1.example hears the server."),
        (True, "The relay at turn2.example hears the server."),
        (False, "The relay at turn2.example does not answer the server."),
        (True, "The relay at turn3.example hears the server."),
        (True, "The relay at turn3.example answers again; pages are told of it after a minute."),
    ]


def test_bans_that_relays_do_not_hear_of_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda: [link("turn.example")], figures(1.0), left_out=7)
    assert found(local_machine(figures(1.0))) == [
        (True, HEARD.text),
        (True, "The relay at turn.example hears the server."),
        (False, "The relays do not hear of the 7 oldest bans: there are too many."),
    ]


def test_a_server_that_has_just_started_may_be_heard_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[link("turn.example", "it was not asked yet")], [link("turn.example")]])
    answering(monkeypatch, lambda: next(answers), [])
    assert found(local_machine(None)) == [(True, "The relay at turn.example hears the server.")]
