"""What runs on replaced libraries starts anew; what does not stays as it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.agent import releases, restart, updates
from tests.deploy.agent.conftest import Machine

Capture = pytest.CaptureFixture[str]
LINE = "7f00-7f01 r-xp 00000000 fd:00 77                    {}\n"


@pytest.fixture
def maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of process 7, which is all of a unit."""
    for folder in ("proc/7", "groups/calln.slice/one"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "groups/calln.slice/one/cgroup.procs").write_text("7\n8\n")
    monkeypatch.setattr(updates, "PROC", tmp_path / "proc")
    monkeypatch.setattr(updates, "CGROUPS", tmp_path / "groups")
    said = subprocess.CompletedProcess((), 0, "/calln.slice/one\n", "")
    monkeypatch.setattr(updates, "systemctl", lambda *words: said)
    return tmp_path / "proc/7/maps"


@pytest.fixture
def running(ready: Machine) -> Machine:
    ready.keeps("1")
    ready.has(relay__1="active")
    releases.set_current("1")
    return ready


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)", {"libssl.so.3"}),
        ("/usr/bin/python3.11 (deleted)", {"python3.11"}),
        ("/lib/x86_64-linux-gnu/libc.so.6 (deleted)", {"libc.so.6"}),
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3", set()),
        ("/dev/shm/calln-ledger (deleted)", set()),
        ("/memfd:allocations (deleted)", set()),
        ("/opt/calln/releases/1/site/uvloop/loop.so (deleted)", set()),
        ("[heap]", set()),
    ],
)
def test_only_what_the_system_has_replaced_counts(maps: Path, path: str, found: set[str]) -> None:
    maps.write_text(LINE.format("/usr/lib/locale/C.utf8/LC_CTYPE") + LINE.format(path))
    assert updates.replaced_files("7") == found


def test_a_real_process_whose_program_was_replaced(tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy("/usr/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        (tmp_path / "new").write_bytes(program.read_bytes())
        (tmp_path / "new").rename(program)
        text = Path(f"/proc/{process.pid}/maps").read_text()
        process.terminate()
    assert "program (deleted)" in text
    assert updates.REPLACED.findall(text.replace(str(tmp_path), "/usr/bin")) != []


def test_what_is_outdated_starts_anew(running: Machine, maps: Path, capsys: Capture) -> None:
    maps.write_text(LINE.format("/usr/lib/libssl.so.3 (deleted)"))
    assert updates.main() == 0
    said = capsys.readouterr().out
    assert said.startswith("From before an update: libssl.so.3.\n1.2 runs now, the same release as 1;")
    assert running.states == {"relay@1": "deactivating", "relay@1.2": "active"}


def test_what_is_not_stays(running: Machine, maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps.write_text(LINE.format("/usr/lib/libssl.so.3"))
    monkeypatch.setattr(restart, "main", lambda: pytest.fail("it was restarted"))
    assert updates.main() == 0
    assert running.states == {"relay@1": "active"}


def test_where_nothing_runs_nothing_is_looked_at(ready: Machine, maps: Path) -> None:
    maps.write_text(LINE.format("/usr/lib/libssl.so.3 (deleted)"))
    assert updates.outdated() == set()
