"""Six questions and the file that they make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.file import load_config
from deploy.remote.init import QUESTIONS, QUESTIONS_HERE, ask_all, ask_here
from deploy.remote.orders import DeployError


def ask(file: Path, *answers: str) -> list[str]:
    asked: list[str] = []
    left: Iterator[str] = iter(answers)

    def answer(words: str) -> str:
        asked.append(words)
        return next(left)

    assert ask_all(file, answer) == 0
    return asked


def test_one_answer_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    asked = ask(file, "call.example.org", "", "", "", "", "")
    config = load_config(file)
    assert len(asked) == len(QUESTIONS) == 6
    assert config.site.url == "https://call.example.org"
    assert [str(host.address) for host in config.deploy.hosts] == ["root@call.example.org"]
    assert len(file.read_text().splitlines()) <= 8


def test_a_wrong_answer_is_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ask(
        tmp_path / "c.yaml",
        "",
        "https://a.example/x",
        "a.example",
        "It's ours",
        "local",
        "acme!",
        "internal",
        "",
        "none",
    )
    assert len(asked) == 9
    assert "nothing after the host name" in capsys.readouterr().out
    assert load_config(tmp_path / "c.yaml").site.name == "It's ours"


def test_files_are_named_to_begin_with(tmp_path: Path) -> None:
    ask(tmp_path / "c.yaml", "a.example", "", "", "files", "", "")
    assert load_config(tmp_path / "c.yaml").deploy.certificate == tmp_path / "fullchain.pem"


def test_this_machine_is_not_asked_which_machine_it_is(tmp_path: Path) -> None:
    left = iter(["call.example.org", "", "", "", "", "nowhere", "203.0.113.5/10.0.0.5"])
    ask_here(tmp_path / "c.yaml", lambda words: next(left))
    config = load_config(tmp_path / "c.yaml")
    assert len(QUESTIONS_HERE) == 6
    assert [host.is_local for host in config.deploy.hosts] == [True]
    assert [str(one.local) for one in config.turn.external_ip] == ["10.0.0.5"]
    assert next(left, None) is None


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("site: {}\n")
    with pytest.raises(DeployError, match="exists already"):
        ask(file)
