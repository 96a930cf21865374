"""What an operator is told to type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deploy.cli.commands import COMMANDS
from deploy.cli.spelling import BY_MAKE, TARGETS, WORDS, spelled, spelled_output

MAKEFILE = Path(__file__).parents[3] / "Makefile"


@pytest.mark.parametrize(
    ("text", "by_make"),
    [
        ("run calln deploy apply again", "run make deploy again"),
        ("run calln deploy secrets rotate", "run make rotate"),
        ("see: calln deploy logs", "see: make logs"),
        ("see calln deploy proxy", "see calln deploy proxy"),
        ("calln doctor on that machine", "calln doctor on that machine"),
        ("repeat this with --accept-host-key", "repeat this with ARGS=--accept-host-key"),
        ("See: calln deploy plan --config c.yaml", "See: make plan CONFIG=c.yaml"),
        ("or name your file with --config", "or name your file with CONFIG="),
    ],
)
def test_who_deploys_with_make_reads_its_words(text: str, by_make: str) -> None:
    assert spelled(text, {BY_MAKE: "yes"}) == by_make


def test_a_program_outside_of_the_path_is_named_as_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/calln"])
    assert spelled("see: calln deploy proxy", {"PATH": "/nowhere"}) == "see: .venv/bin/calln deploy proxy"
    assert spelled("run calln doctor there", {"PATH": "/nowhere"}) == "run calln doctor there"
    both = {"PATH": "/nowhere", BY_MAKE: "yes"}
    assert spelled("calln deploy plan, calln deploy proxy", both) == "make plan, .venv/bin/calln deploy proxy"


def test_the_output_of_a_command_is_spelled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(BY_MAKE, "yes")
    with spelled_output():
        print("Now run calln deploy apply.", flush=True)
    assert capsys.readouterr().out == "Now run make deploy.\n"


def test_the_words_of_make_are_its_targets() -> None:
    text = MAKEFILE.read_text()
    line = next(line for line in text.splitlines() if line.startswith("DEPLOYS := "))
    assert {WORDS.get(word, word) for word in TARGETS} == set(line.split()[2:])
    assert {f"deploy {word}" for word in TARGETS} <= {command.words for command in COMMANDS}
    assert f"{BY_MAKE}=yes" in text
