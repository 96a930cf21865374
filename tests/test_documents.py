"""The places in documents that a program writes, and the examples of configuration that a reader copies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.file import parse_config
from deploy.remote.hosts import targets
from tests.documents import DOCS, ROOT, rewritten, written

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
