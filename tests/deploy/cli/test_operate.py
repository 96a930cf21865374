"""What the commands for machines that are there do on this side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.agent import backup
from deploy.cli import operate
from deploy.cli.main import main
from deploy.remote.orders import DeployError


def test_what_is_fetched_is_for_its_owner_alone(tmp_path: Path) -> None:
    operate.save_privately(tmp_path / "backup", b"secret")
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    old, link = tmp_path / "readable", tmp_path / "link"
    old.write_text("of somebody")
    old.chmod(0o644)
    link.symlink_to(old)
    operate.save_privately(link, b"secret")
    assert (old.read_text(), link.is_symlink()) == ("of somebody", False)
    operate.save_privately(old, b"secret")
    for path in (old, link):
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"secret", 0o600)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "link", "readable"]
    with pytest.raises(DeployError, match="No such file"):
        operate.save_privately(tmp_path / "gone" / "backup", b"")


def test_a_secret_that_the_operator_keeps_is_not_changed_behind_his_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("site: {url: 'https://nowhere.invalid'}\nturn: {secret: 0123456789abcdef0123}\n")
    assert main(["deploy", "secrets", "rotate", "--config", str(file)]) == os.EX_UNAVAILABLE
    assert "the secret is in your own file" in capsys.readouterr().err


def restoring(file: Path) -> list[str]:
    return ["deploy", "restore", str(file)]


def test_a_backup_gives_the_configuration_back_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    (root / "etc/calln").mkdir(parents=True)
    (root / "etc/calln/deploy.yaml").write_text("site: {url: 'https://nowhere.invalid'}\n")
    monkeypatch.setattr(backup, "ROOT", root)
    (tmp_path / "archive").write_bytes(backup.make_backup())
    assert main(restoring(tmp_path / "archive")) == 0
    assert "Saved: config.yaml, from the backup. Look at deploy.hosts" in capsys.readouterr().out
    assert (tmp_path / "config.yaml").read_text() == "site: {url: 'https://nowhere.invalid'}\n"
    assert (tmp_path / "config.yaml").stat().st_mode & 0o777 == 0o600
    assert main(restoring(tmp_path / "archive")) == os.EX_UNAVAILABLE  # now it is for a machine
    assert "not in the DNS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"age-encryption.org/v1\n", "is encrypted; first: age --decrypt -i KEY"),
        (b"x", "not a backup of Calln"),
    ],
)
def test_what_is_no_backup_yet(
    data: bytes,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archive").write_bytes(data)
    assert main(restoring(tmp_path / "archive")) == os.EX_UNAVAILABLE
    assert says in capsys.readouterr().err
    assert not (tmp_path / "config.yaml").exists()
