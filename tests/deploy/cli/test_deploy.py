"""What the commands do on this side; what they do on machines is tested where machines are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.cli import deploy
from deploy.cli.main import COMMANDS, main
from deploy.doctor.machine import Finding
from deploy.remote.orders import DeployError


def test_every_command_of_the_command_line_is_there() -> None:
    words = {row.words.removeprefix("deploy ") for row in COMMANDS if row.words.startswith("deploy ")}
    assert words == set(deploy.COMMANDS)


def test_what_is_fetched_is_for_its_owner_alone(tmp_path: Path) -> None:
    deploy.save_privately(tmp_path / "backup", b"secret")
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    old, link = tmp_path / "readable", tmp_path / "link"
    old.write_text("of somebody")
    old.chmod(0o644)
    link.symlink_to(old)
    deploy.save_privately(link, b"secret")
    assert (old.read_text(), link.is_symlink()) == ("of somebody", False)
    deploy.save_privately(old, b"secret")
    for path in (old, link):
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"secret", 0o600)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "link", "readable"]
    with pytest.raises(DeployError, match="No such file"):
        deploy.save_privately(tmp_path / "gone" / "backup", b"")


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


def test_a_secret_that_the_operator_keeps_is_not_changed_behind_his_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("site: {url: 'https://nowhere.invalid'}\nturn: {secret: 0123456789abcdef0123}\n")
    assert main(["deploy", "secrets", "rotate", "--config", str(file)]) == os.EX_UNAVAILABLE
    assert "the secret is in your own file" in capsys.readouterr().err
