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
    data = base64.b64encode(backup.make_backup()).decode()
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


def archive(*members: tuple[str, bytes | Path]) -> str:
    """A backup with these members: a file's bytes, or where a link leads."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, what in ((backup.BANS, b"[]"), *members):
            about = tarfile.TarInfo(name)
            if isinstance(what, Path):
                about.type, about.linkname = tarfile.SYMTYPE, str(what)
                tar.addfile(about)
            else:
                about.size = len(what)
                tar.addfile(about, io.BytesIO(what))
    return base64.b64encode(made.getvalue()).decode()


@pytest.mark.parametrize("name", ["etc/passwd", "etc/calln/../../root/x", "/etc/calln/x", "etc/callnx/a"])
def test_nothing_is_written_elsewhere(root: Path, name: str) -> None:
    with pytest.raises(StepFailed, match="not a backup of Calln"):
        backup.restore(archive((name, b"[]")))
    assert list(root.iterdir()) == []


OUTSIDE = ["/root/.ssh", "../../root/.ssh", "..", "../letsencrypt/../../root", "deep/../../../root"]


@pytest.mark.parametrize("target", OUTSIDE)
def test_a_link_that_leads_out_is_refused_before_anything_is_written(root: Path, target: str) -> None:
    (root / "root/.ssh").mkdir(parents=True)
    with pytest.raises(StepFailed, match="not a backup of Calln"):
        backup.restore(archive(("etc/calln/x", Path(target)), ("etc/calln/x/authorized_keys", b"key")))
    assert list((root / "root/.ssh").iterdir()) == []
    assert not (root / "etc").exists()


@pytest.mark.parametrize("at", ["etc/calln/x", "etc/calln", "etc/letsencrypt"])
def test_nothing_is_written_through_a_link_that_the_machine_has(root: Path, at: str) -> None:
    (root / "elsewhere").mkdir()
    (root / at).parent.mkdir(parents=True, exist_ok=True)
    (root / at).symlink_to(root / "elsewhere")
    with pytest.raises(StepFailed, match="is a link"):
        backup.restore(archive((f"{at}/file", b"data")))
    assert list((root / "elsewhere").iterdir()) == []


def test_a_link_in_the_backup_is_not_followed_even_inside(root: Path) -> None:
    with pytest.raises(StepFailed, match="is a link"):
        backup.restore(archive(("etc/calln/x", Path("../letsencrypt")), ("etc/calln/x/file", b"data")))
    assert not (root / "etc/letsencrypt").exists()


@pytest.mark.parametrize("kind", ["link", "readable"])
def test_a_file_is_replaced_and_never_written_into(root: Path, kind: str) -> None:
    (root / "etc/calln").mkdir(parents=True)
    other, place = root / "other", root / "etc/calln/secret"
    other.write_text("of somebody else")
    place.symlink_to(other) if kind == "link" else place.hardlink_to(other)
    backup.restore(archive(("etc/calln/secret", b"data")))
    assert (place.read_bytes(), place.is_symlink()) == (b"data", False)
    assert other.read_text() == "of somebody else"
    assert [path.name for path in place.parent.iterdir()] == ["secret"]


@pytest.mark.parametrize("at", ["var/lib/calln", "var/lib/calln/calln.sqlite3"])
def test_the_ban_list_is_not_read_or_written_through_a_link(root: Path, at: str) -> None:
    (root / at).parent.mkdir(parents=True)
    (root / at).symlink_to(root / "elsewhere")
    with pytest.raises(StepFailed, match="is a link"):
        backup.make_backup()
    with pytest.raises(StepFailed, match="is a link"):
        backup.restore(archive())
    assert not (root / "elsewhere").exists()


def test_a_link_that_leads_out_is_left_out_of_a_backup(root: Path) -> None:
    filled(root)
    (root / "etc/calln/out").symlink_to("../../root")
    with tarfile.open(fileobj=io.BytesIO(backup.make_backup()), mode="r:gz") as tar:
        names = tar.getnames()
    assert not {"etc/calln/out", "etc/calln/config.yaml"} & set(names)
    assert "etc/letsencrypt/live/a.pem" in names


def test_nonsense_is_no_backup(root: Path) -> None:
    with pytest.raises(StepFailed, match="cannot be read"):
        backup.restore("bm9uc2Vuc2U=")
