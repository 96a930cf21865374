"""A backup and what comes back from it."""

from __future__ import annotations

import base64
import io
import sqlite3
import tarfile
import time
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path

import pytest

from deploy.agent import backup
from deploy.agent.systemd import StepFailed
from server.store import Ban, Call
from server.store.sqlite import open_store

NOW = int(time.time())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(backup, "ROOT", tmp_path)
    monkeypatch.setattr(backup, "ACCOUNT", "root")
    return tmp_path


def filled(root: Path) -> Path:
    (root / "etc/calln/secrets").mkdir(parents=True)
    (root / "etc/calln/secrets/turn").write_text("a secret\n")
    (root / "etc/calln/secrets/turn").chmod(0o640)
    (root / "etc/calln/config.yaml").symlink_to("/opt/calln/current/config.yaml")
    (root / "etc/letsencrypt/live").mkdir(parents=True)
    (root / "etc/letsencrypt/live/a.pem").symlink_to("../archive/a.pem")
    store = open_store(root / "var/lib/calln")
    store.add_ban(Ban(ip_network("192.0.2.0/24"), NOW, None, "kept"))
    store.add_ban(Ban(ip_network("198.51.100.0/24"), NOW - 20, NOW - 10, "ended"))
    store.add_call(Call(NOW, 60))
    store.close()
    return root


def test_a_backup_brings_back_files_and_bans_but_no_calls(root: Path) -> None:
    filled(root)
    data = backup.make_backup()
    for path in ("etc/calln/secrets/turn", "var/lib/calln/calln.sqlite3"):
        (root / path).unlink()
    backup.restore(data)
    secret = root / "etc/calln/secrets/turn"
    assert (root / "etc/letsencrypt/live/a.pem").readlink() == Path("../archive/a.pem")
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("a secret\n", 0o640)
    with closing(sqlite3.connect(root / "var/lib/calln/calln.sqlite3")) as database:
        assert database.execute("SELECT network FROM bans").fetchall() == [("192.0.2.0/24",)]
    store = open_store(root / "var/lib/calln")
    assert store.calls() == []
    store.close()


@pytest.mark.parametrize("name", ["etc/passwd", "etc/calln/../../root/x", "/etc/calln/x"])
def test_nothing_is_written_elsewhere(root: Path, name: str) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for one in (backup.BANS, name):
            about = tarfile.TarInfo(one)
            about.size = 2
            tar.addfile(about, io.BytesIO(b"[]"))
    with pytest.raises(StepFailed, match="not a backup of Calln"):
        backup.restore(base64.b64encode(made.getvalue()).decode())


def test_nonsense_is_no_backup(root: Path) -> None:
    with pytest.raises(StepFailed, match="cannot be read"):
        backup.restore("bm9uc2Vuc2U=")
