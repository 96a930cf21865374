"""The table of commands: each explains itself."""

from __future__ import annotations

import pytest

from deploy.cli.commands import COMMANDS
from deploy.cli.main import main

WORDS = [command.words for command in COMMANDS]


@pytest.mark.parametrize("words", WORDS)
def test_every_command_explains_itself(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words.split(), "--help"])
    assert end.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert next(command.sentence for command in COMMANDS if command.words == words) in out
    assert "--config FILE" in out
