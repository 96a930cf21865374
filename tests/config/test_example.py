"""The manual: it says what the models say, and every example in it can be used."""

from __future__ import annotations

from pathlib import Path

from config.example import example
from config.file import Config, parse

ROOT = Path(__file__).parent.parent.parent


def test_example_is_the_manual() -> None:
    """Made anew by `make example`: the file says what the models say, and means the defaults."""
    assert (ROOT / "config.example.yaml").read_text() == example()
    assert parse(example(), Path("config.yaml")) == Config()


def test_every_commented_example_is_accepted() -> None:
    text = "\n".join(
        line.replace("# ", "", 1) if line.lstrip().startswith(("# - ", "#   ")) or is_key(line) else line
        for line in example().splitlines()
    )
    config = parse(text, Path("config.yaml"))
    assert config.site.url == "https://call.example.org"
    assert str(config.turn.external_ip[0].local) == "10.0.0.5"


def is_key(line: str) -> bool:
    word = line.lstrip().removeprefix("# ").split(":")[0]
    return (
        line.lstrip().startswith("# ")
        and word.isidentifier()
        and word.islower()
        and "." not in line.split(":")[0]
    )


def test_each_key_says_whether_it_needs_a_restart() -> None:
    for _, model in sections(Config):
        for key, field in model.model_fields.items():
            assert described(field).endswith(RESTART) is is_read_at_start(field), key
    assert RESTART in described(Turn.model_fields["listen"])
    assert RESTART not in described(Turn.model_fields["drain_seconds"])
