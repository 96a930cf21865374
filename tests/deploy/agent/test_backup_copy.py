"""A backup goes to another machine by a real sshd; as many stay there as on the machine itself."""

from __future__ import annotations

import getpass
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.agent import daily_backup
from deploy.agent.backup_copy import CopyTarget, copy_backup
from deploy.agent.systemd import StepFailed
from tests.deploy.sshd import NEEDED, Served, serving

pytestmark = NEEDED


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as served:
        yield served


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


@pytest.fixture
def target(sshd: Served, there: Path) -> CopyTarget:
    return CopyTarget.of(f"ssh://{getpass.getuser()}@127.0.0.1:{sshd.port}{there}")


@pytest.fixture
def home(sshd: Served) -> Path:
    """This machine has the key that is let in."""
    home = sshd.folder / "home"
    home.mkdir()
    for end in ("", ".pub"):
        shutil.copy(sshd.folder / f"ours{end}", home / f"id_ed25519{end}")
    return home


def backup(folder: Path, day: str, data: bytes = b"canary") -> Path:
    path = folder / f"calln-{day}.tar.gz.age"
    path.write_bytes(data)
    return path


def test_what_an_address_says() -> None:
    url = "ssh://backup@[2001:db8::7]:2222/srv/calln"
    assert CopyTarget.of(url) == ("backup", "[2001:db8::7]", 2222, "/srv/calln")
    assert CopyTarget.of("ssh://b@other.example.org/srv") == ("b", "other.example.org", 22, "/srv")


def test_the_newest_stay_there_readable_by_their_owner(
    tmp_path: Path, there: Path, target: CopyTarget, home: Path
) -> None:
    folder = there / socket.gethostname()
    folder.mkdir()
    (folder / "notes").touch()
    for day in range(1, 5):
        where = copy_backup(backup(tmp_path, f"2026-01-0{day}"), 2, target, home)
    assert where.endswith("/calln-2026-01-04.tar.gz.age")
    kept = ["calln-2026-01-03.tar.gz.age", "calln-2026-01-04.tar.gz.age", "notes"]
    assert sorted(path.name for path in folder.iterdir()) == kept
    assert (folder / kept[1]).read_bytes() == b"canary"
    assert (folder.stat().st_mode & 0o777, (folder / kept[1]).stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_second_one_of_a_day_takes_the_place_of_the_first(
    tmp_path: Path, there: Path, target: CopyTarget, home: Path
) -> None:
    copy_backup(backup(tmp_path, "2026-01-01"), 2, target, home)
    copy_backup(backup(tmp_path, "2026-01-01", b"later"), 2, target, home)
    (copy,) = (there / socket.gethostname()).iterdir()
    assert copy.read_bytes() == b"later"


def test_a_key_that_is_not_known_there_yet_is_shown(tmp_path: Path, target: CopyTarget) -> None:
    home = tmp_path / "fresh"
    home.mkdir()
    with pytest.raises(StepFailed, match="add this line to ") as problem:
        copy_backup(backup(tmp_path, "2026-01-01"), 2, target, home)
    assert (home / "id_ed25519.pub").read_text().strip() in str(problem.value)
    assert (home / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_another_machine_than_before_gets_nothing(
    tmp_path: Path, sshd: Served, there: Path, target: CopyTarget, home: Path
) -> None:
    line = f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'another.pub').read_text()}"
    (home / "known_hosts").write_text(line)
    with pytest.raises(StepFailed, match=f"remove {home}/known_hosts"):
        copy_backup(backup(tmp_path, "2026-01-01"), 2, target, home)
    assert list(there.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, target: CopyTarget, home: Path) -> None:
    with pytest.raises(StepFailed, match="nowhere"):
        copy_backup(backup(tmp_path, "2026-01-01"), 2, target._replace(folder="/nowhere/at/all"), home)


def test_a_copy_that_fails_leaves_the_backup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = backup(tmp_path, "2026-01-01")
    nobody = CopyTarget.of(f"ssh://{getpass.getuser()}@127.0.0.1:1/srv")
    assert daily_backup.send_copy(path, 2, nobody) == 1
    assert "The backup is made, but its copy failed: " in capsys.readouterr().err
    assert path.exists()
