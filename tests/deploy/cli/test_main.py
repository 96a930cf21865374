"""The command line: what each word does with a configuration, and the exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli.commands import COMMANDS
from deploy.cli.main import main
from host import VERSION
from server.store.sqlite import open_store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("site: {state_dir: state}\n")
    open_store(tmp_path / "state").close()
    return path


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"calln {VERSION}\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["check"], 0, ""),
        (["ban", "list"], 0, ""),
        (["ban", "add", "192.0.2.7", "--for", "1h"], 0, ""),
        (["ban", "add"], 2, "write either an address or --report"),
        (["ban", "remove", "192.0.2.7"], 1, "is not in the ban list"),
        (["reports"], 69, "Start it with calln serve"),
    ],
)
def test_exit_codes(
    file: Path, words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--config", str(file)]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("words", [["serve"], ["relay"], ["run"], ["check"], ["ban", "list"], ["reports"]])
def test_broken_file_ends_every_command_alike(
    file: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("turn: {relm: x}\n")
    assert main([*words, "--config", str(file)]) == 78
    assert re.search(r"config\.yaml:1:8: turn\.relm: unknown key", capsys.readouterr().err)


@pytest.mark.parametrize("words", [[], ["ban"], ["nonsense"], ["serve", "--nonsense"]])
def test_wrong_words_end_as_argparse_does(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2


def test_installed_command_is_this_one() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("calln"), "--help"], capture_output=True, text=True, check=True
    )
    assert all(command.words.split()[0] in done.stdout for command in COMMANDS)
