"""Orders, as they come: carried out, refused, told."""

from __future__ import annotations

import base64
import errno
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.agent import backup, facts, lock, main, releases
from deploy.agent.steps import ACTIONS
from tests.deploy.agent.conftest import Machine
from tests.deploy.agent.files import a_file

Capture = pytest.CaptureFixture[str]
BOTH = ["turn", "server"]


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGPIPE)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def applying(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"do": "apply", "who": "alice", "steps": list(steps)}


def putting(path: Path) -> dict[str, Any]:
    return {"kind": "Put", "file": a_file(path), "sentence": f"Write {path.name}."}


def test_each_step_says_itself_when_it_is_done(machine: Machine, capsys: Capture) -> None:
    assert main.main(applying(*(putting(machine.folder / name) for name in "ab"))) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.rpartition(" (")[0] for line in said] == ["Write a.", "Write b."]


def test_the_first_failure_ends_it_and_is_told(machine: Machine, capsys: Capture) -> None:
    bad = {"kind": "Run", "argv": ["sh", "-c", "echo no room >&2; false"], "sentence": "Make room."}
    assert main.main(applying(bad, putting(machine.folder / "a"))) == 1
    said = capsys.readouterr().out
    assert "FAILED: Make room.\n" in said
    assert "no room" in said
    assert not (machine.folder / "a").exists()


def test_one_at_a_time(machine: Machine, capsys: Capture) -> None:
    with lock.exclusive("bob@desk", machine.folder / "lock"):
        assert main.main(applying(putting(machine.folder / "a"))) == 1
    assert "bob@desk" in capsys.readouterr().out
    assert not (machine.folder / "a").exists()


def test_rollback_says_what_serves(ready: Machine, capsys: Capture) -> None:
    ready.keeps("1", "2")
    ready.has(relay__2="active")
    releases.set_current("2")
    assert main.main({"do": "rollback", "who": "alice", "to": None, "roles": ["turn"]}) == 0
    assert capsys.readouterr().out.startswith("1 runs now instead of 2;")
    assert ready.states == {"relay@2": "deactivating", "relay@1": "active"}


@pytest.fixture(autouse=True)
def applied(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "APPLIED", machine.folder / "applied")
    main.APPLIED.touch()


def test_status_in_plain_words(ready: Machine, capsys: Capture) -> None:
    ready.keeps("1", "2")
    ready.has(relay__1="deactivating", relay__2="active", server__2="active")
    releases.set_current("2")
    assert main.main({"do": "status", "roles": BOTH}) == 0
    assert capsys.readouterr().out.splitlines() == [
        "current release: 2",
        "calln-relay 1: ending after its last call",
        "calln-relay 2: running, ready",
        "calln-server 2: running, ready",
        "earlier releases: 1",
    ]


def test_a_bare_machine_has_no_status(machine: Machine, capsys: Capture) -> None:
    assert main.main({"do": "status", "roles": BOTH}) == 1
    assert capsys.readouterr().out.splitlines() == [
        "current release: none",
        "earlier releases: none",
        "not well: Calln is not installed here; run calln deploy apply",
    ]


def test_status_says_what_does_not_work(machine: Machine, capsys: Capture) -> None:
    """A deployment broke off before the relay started, and the server cannot be asked."""
    machine.keeps("2")
    machine.has(server__2="active")
    releases.set_current("2")
    main.APPLIED.unlink()
    assert main.main({"do": "status", "roles": BOTH}) == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "not well: the last deployment did not reach its end; run calln deploy apply again",
        "not well: calln-relay does not run (inactive); calln deploy logs may say why",
        "not well: calln-server runs, but is not ready; calln doctor on that machine says what is wrong",
    ]


def test_what_a_backup_brings_back_is_read_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has(relay__1="active")
    monkeypatch.setattr(backup, "ROOT", machine.folder / "root")
    (machine.folder / "root/etc/calln").mkdir(parents=True)
    data = base64.b64encode(backup.make_backup()).decode()
    restored: list[str] = []
    monkeypatch.setattr(backup, "restore", restored.append)
    assert main.main({"do": "restore", "who": "alice", "data": data}) == 0
    assert restored == [data]
    assert "reload calln-relay@1.service" in machine.told


def test_a_restart_says_what_runs(ready: Machine, capsys: Capture) -> None:
    ready.keeps("1")
    releases.set_current("1")
    assert main.main({"do": "restart", "who": "alice", "roles": BOTH}) == 0
    assert capsys.readouterr().out.startswith("1.2 runs now, the same release as 1;")


def test_status_says_whose_files_are_in_the_way(
    ready: Machine, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready.keeps("2")
    ready.has(relay__2="active")
    releases.set_current("2")
    monkeypatch.setattr(facts, "foreign_files", lambda: ["/var/lib/calln/relayed.map"])
    assert main.main({"do": "status", "roles": ["turn"]}) == 1
    says = (
        "not well: the services cannot use /var/lib/calln/relayed.map; run calln deploy apply, which mends it"
    )
    assert says in capsys.readouterr().out.splitlines()


def test_a_part_that_is_not_wanted_here_is_not_missed(ready: Machine, capsys: Capture) -> None:
    ready.keeps("2")
    ready.has(relay__2="active")
    releases.set_current("2")
    assert main.main({"do": "status", "roles": ["turn"]}) == 0


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/opt/x"), "the disk is full (/opt/x); make room"),
        (OSError(errno.EROFS, "Read-only file system", "/opt/x"), "Read-only file system: '/opt/x'"),
        (LookupError("no such group: 'calln'"), "no such group"),
    ],
)
def test_what_the_machine_refuses_is_told_with_its_step(
    machine: Machine, capsys: Capture, monkeypatch: pytest.MonkeyPatch, problem: Exception, says: str
) -> None:
    def refuse(_: dict[str, Any]) -> None:
        raise problem

    monkeypatch.setitem(ACTIONS, "Put", refuse)
    assert main.main(applying(putting(machine.folder / "a"))) == 1
    said = capsys.readouterr().out
    assert said.startswith("FAILED: Write a.\n")
    assert says in said
