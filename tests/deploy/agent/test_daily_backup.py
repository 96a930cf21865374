"""A backup every day, of which the newest stay."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from deploy.agent import backup, daily_backup

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a configuration and a secret."""
    root = tmp_path / "root"
    (root / "etc/calln/secrets").mkdir(parents=True)
    (root / "etc/calln/deploy.yaml").write_text("site: {name: Ours}\n")
    (root / "etc/calln/secrets/turn.secret").write_text("canary\n")
    monkeypatch.setattr(backup, "ROOT", root)
    return root


def members(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return tar.getnames()


def test_the_newest_stay_for_root_alone(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    for day in range(1, 6):
        made = daily_backup.save_backup(folder, 3, "", f"2026-01-0{day}")
    (folder / "notes").touch()
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["calln-2026-01-03.tar.gz", "calln-2026-01-04.tar.gz", "calln-2026-01-05.tar.gz", "notes"]
    assert (made.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert {"etc/calln/deploy.yaml", "etc/calln/secrets/turn.secret", "bans.json"} <= set(
        members(made.read_bytes())
    )


def test_a_second_one_of_a_day_takes_the_place_of_the_first(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "backups"
    first = daily_backup.save_backup(folder, 3, "", "2026-01-01").read_bytes()
    (root / "etc/calln/more").touch()
    assert daily_backup.save_backup(folder, 3, "", "2026-01-01").read_bytes() != first
    assert len(list(folder.iterdir())) == 1


def test_where_none_can_be_made_none_goes(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "backups"
    daily_backup.save_backup(folder, 1, "", "2026-01-01")
    (tmp_path / "root/var/lib").mkdir(parents=True)
    (tmp_path / "root/var/lib/calln").symlink_to("/nowhere")
    assert daily_backup.main(["--folder", str(folder), "--keep", "1"]) == 1
    assert "The backup failed: " in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["calln-2026-01-01.tar.gz"]


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_what_is_encrypted_only_its_key_opens(tmp_path: Path) -> None:
    key = tmp_path / "key"
    made = subprocess.run(["age-keygen", "-o", key], capture_output=True, text=True, check=True)
    recipient = made.stderr.split()[-1]
    path = daily_backup.save_backup(tmp_path / "backups", 3, recipient, "2026-01-01")
    assert path.name == "calln-2026-01-01.tar.gz.age"
    assert path.read_bytes().startswith(b"age-encryption.org/")
    opened = subprocess.run(["age", "--decrypt", "-i", key, path], capture_output=True, check=True)
    assert "etc/calln/deploy.yaml" in members(opened.stdout)


def test_without_age_nothing_is_written_in_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert daily_backup.main(["--folder", str(tmp_path / "b"), "--keep", "1", "--age", "age1x"]) == 1
    assert "apt install age" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
