"""The manual: it says what the models say, and every example in it can be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.example import RESTART, example, section
from config.file import Config, parse_config
from host.settings import Section, is_read_at_start

ROOT = Path(__file__).parent.parent.parent
KEYS = {
    key for field in Config.model_fields.values() for key in getattr(field.annotation, "model_fields", ())
}
KEYS |= {"trusted", "token_file", "origins"}  # of turn.limits and server.ice_api


def test_example_is_the_manual() -> None:
    """Made anew by `make example`: the file says what the models say, and means the defaults."""
    assert (ROOT / "config.example.yaml").read_text() == example()
    assert parse_config(example(), Path("config.yaml")) == Config()


def test_every_commented_example_is_accepted() -> None:
    text = "\n".join(
        line.replace("# ", "", 1) if line.lstrip().startswith(("# - ", "#   ")) or is_key(line) else line
        for line in example().splitlines()
    )
    config = parse_config(text, Path("config.yaml"))
    assert config.site.url == "https://call.example.org"
    assert str(config.turn.external_ip[0].local) == "10.0.0.5"


def is_key(line: str) -> bool:
    """A commented-out key, and not a sentence that has a word with a colon first."""
    return re.fullmatch(r" *# [a-z0-9_]+:(| \S.*)", line) is not None and line.split()[1][:-1] in KEYS


@pytest.mark.parametrize("name", ["site", "server", "turn", "geo"])
def test_each_key_of_the_processes_says_in_the_manual_whether_it_needs_a_restart(name: str) -> None:
    model = Config.model_fields[name].annotation
    assert isinstance(model, type)
    assert issubclass(model, Section)
    written = re.split(r"\n\n", "\n".join(section(name, model, "")))
    for key, field in model.model_fields.items():
        [block] = [one for one in written if re.search(rf"^  (# )?{key}:", one, re.MULTILINE)]
        assert (RESTART in block) is is_read_at_start(field), key
