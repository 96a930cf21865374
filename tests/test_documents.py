"""The places in documents that a program writes, and the examples of configuration that a reader copies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.file import parse_config
from deploy.remote.hosts import targets
from server.signalling.rates import REQUEST_RATE
from server.signalling.reports import MAX_PER_NETWORK
from server.web.login import ALL_GUESSES_RATE, GUESS_RATE
from tests.documents import DOCS, ROOT, rewritten, written
from turn.limits.addresses import HANDSHAKE_BURST, HANDSHAKES_PER_SECOND, SITE_FACTOR

TEXT = "before\n<!-- written by make one -->\nold\n<!-- until here -->\nafter\n<!-- until here -->\n"


def test_finds_what_stands_between_the_comments() -> None:
    assert written(TEXT, "make one") == "old\n"


def test_changes_that_place_alone() -> None:
    new = rewritten(TEXT, "make one", "a \\1 line\n")
    assert new == TEXT.replace("old\n", "\na \\1 line\n\n")
    assert written(new, "make one") == "\na \\1 line\n\n"


def test_a_text_without_the_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="make two"):
        rewritten(TEXT, "make two", "anything")


EXAMPLES = [
    pytest.param(text, id=f"{path.name}-{number}")
    for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text("utf-8"), re.DOTALL))
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_of_configuration_can_be_used(text: str) -> None:
    config = parse_config(text, Path("config.yaml"))
    assert not config.deploy.hosts or targets(config)


def test_the_limits_of_an_address_are_those_in_force() -> None:
    told = (DOCS / "configure.md").read_text("utf-8").partition("## Many people behind one address")[2]
    told = told.partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([0-9]+) \|", told, re.MULTILINE)
    config = parse_config("", Path("config.yaml"))
    named = {"server": config.server, "turn.limits": config.turn.limits}
    assert len(rows) == 7
    for key, default in rows:
        section, _, name = key.rpartition(".")
        assert getattr(named[section], name) == int(default), key
    assert f"{HANDSHAKES_PER_SECOND} TLS handshakes a second ({HANDSHAKE_BURST} at once)" in told
    flat = " ".join(told.split())
    assert f"{REQUEST_RATE.per_second} HTTP requests a second ({REQUEST_RATE.burst:,} at once)" in flat
    assert f"{MAX_PER_NETWORK} kept reports" in told
    assert SITE_FACTOR == 2  # "twice as much"


def test_the_guesses_of_a_password_are_those_in_force() -> None:
    told = " ".join((DOCS / "configure.md").read_text("utf-8").split())
    assert (GUESS_RATE, ALL_GUESSES_RATE) == ((0.1, 20), (2, 300))
    assert "After twenty wrong passwords, an address may try one every ten seconds" in told
    assert "all addresses together may try 300, and then two a second" in told
