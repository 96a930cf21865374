"""What the commands do on this side; what they do on machines is tested where machines are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, cast

import pytest

from config.deploy import Host, parse_destination
from deploy.cli import deploy
from deploy.cli.commands import COMMANDS
from deploy.cli.main import main
from deploy.doctor.machine import Finding
from deploy.remote.facts import facts_order
from deploy.remote.fleet import Fleet
from deploy.remote.orders import DeployError
from deploy.remote.render import SECRET
from deploy.remote.ssh import Machine
from tests.deploy.minds import FRESH


def test_every_command_of_the_command_line_is_there() -> None:
    words = {row.words.removeprefix("deploy ") for row in COMMANDS if row.words.startswith("deploy ")}
    assert words == set(deploy.COMMANDS)


def test_findings_have_a_mark_and_advice() -> None:
    assert deploy.finding_text(Finding(True, "Well.")) == "\u2713 Well."
    assert deploy.finding_text(Finding(False, "Ill.", "mend it")) == "\u2717 Ill.\n    mend it"


def test_a_machine_that_is_not_there_is_exit_code_69(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "c.yaml"
    file.write_text("site: {url: 'https://nowhere.invalid'}\n")
    assert main(["deploy", "status", "--config", str(file)]) == os.EX_UNAVAILABLE
    assert "this name is not in the DNS" in capsys.readouterr().err


class Withdrawing:
    """A machine whose old secret is withdrawn between the first two questions, as at its boot."""

    host = Host(address=parse_destination("root@a.example"))

    def __init__(self) -> None:
        self.secret = "new\nold\n"

    def query(self, order: dict[str, Any]) -> Any:
        if order["do"] == "secret":
            return self.secret
        digest = hashlib.sha256(self.secret.encode()).hexdigest()
        self.secret = "new\n"
        known = {"sha256": digest, "mode": 0o640, "owner": "root", "group": "calln", "text": None}
        return {**FRESH, "files": {SECRET: known}}


def test_a_secret_that_is_withdrawn_meanwhile_is_asked_for_again() -> None:
    there = cast("Machine", Withdrawing())
    answers, kept = deploy.look(Fleet([there]), facts_order([SECRET], []))
    assert kept == ["new\n"]
    assert answers[there].has_secret("new\n")


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (None, os.EX_UNAVAILABLE, "there is no config.yaml in this folder; make one with calln deploy init"),
        ("site: {url: 'https://a.example'\ndeploy: {}\n", os.EX_CONFIG, "c.yaml:2:1: a comma"),
        (
            "deploy:\n  host: a.example\n",
            os.EX_CONFIG,
            "c.yaml:2:3: deploy.host: unknown key; did you mean hosts?",
        ),
        ("deploy: {}\n", os.EX_CONFIG, "site.url: write the address that visitors will open"),
    ],
    ids=["no file", "no YAML", "an unknown key", "no address"],
)
@pytest.mark.parametrize("word", ["apply", "plan", "destroy"])
def test_without_a_file_that_can_be_used_no_machine_is_reached(
    word: str,
    text: str | None,
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    named = []
    if text is not None:
        (tmp_path / "c.yaml").write_text(text)
        named = ["--config", "c.yaml"]
    assert main(["deploy", word, *named]) == code
    assert says in capsys.readouterr().err


def test_nobody_to_answer_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        with pytest.raises(DeployError, match="use --yes"):
            deploy.ask_to_confirm("sure? ")


def test_a_proxys_site_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("site: {url: 'https://a.example'}\nserver: {trusted_proxies: 127.0.0.1/32}\n")
    assert main(["deploy", "proxy", "nginx", "--config", str(file)]) == 0
    assert "server_name a.example" in capsys.readouterr().out
