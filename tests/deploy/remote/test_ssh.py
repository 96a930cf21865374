"""Orders over a real sshd on this machine, and on the spot."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyinfra.connectors.sshuserclient.client import get_host_keys

from config.deploy import Host
from deploy.remote import ssh
from deploy.remote.orders import Unreachable
from tests.deploy.sshd import NEEDED, Served, serving

pytestmark = NEEDED
LOOK = {"do": "look", "paths": [], "packages": []}


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving(tmp_path) as served:
        yield served


def test_an_unknown_host_key_is_shown_and_nothing_is_done_until_it_is_accepted(sshd: Served) -> None:
    shown = subprocess.run(
        ["ssh-keygen", "-lf", sshd.folder / "machine.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    with pytest.raises(Unreachable, match="host key is not known") as problem:
        ssh.open_machine(sshd.host())
    assert shown in str(problem.value)
    ssh.open_machine(sshd.host(), accept=True).close()
    get_host_keys.cache.clear()  # of this process; the next one reads the file
    ssh.open_machine(sshd.host()).close()


def test_another_host_key_than_before_is_refused(sshd: Served) -> None:
    line = f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'another.pub').read_text()}"
    (sshd.folder / ".ssh").mkdir()
    (sshd.folder / ".ssh/known_hosts").write_text(line)
    with pytest.raises(Unreachable, match="not the one in known_hosts"):
        ssh.open_machine(sshd.host(), accept=True)


@pytest.mark.parametrize(
    ("key", "address", "says"),
    [
        ("another", "127.0.0.1", "refused the SSH key"),
        ("gone", "127.0.0.1", "file of the SSH key does not exist"),
        ("ours.pub", "127.0.0.1", "not a private SSH key"),
        ("ours", "nowhere.invalid", "this name is not in the DNS"),
        ("ours", "127.0.0.2", "SSH does not answer"),
    ],
)
def test_each_way_not_to_get_there_says_what_to_do(sshd: Served, key: str, address: str, says: str) -> None:
    with pytest.raises(Unreachable, match=says):
        ssh.open_machine(sshd.host(key, address), accept=True)


def test_an_order_is_carried_out_and_its_lines_come_as_they_are_said(sshd: Served) -> None:
    lines: list[str] = []
    ssh.set_output(lines.append)
    line = ssh.open_machine(sshd.host(), accept=True)
    assert line.query(LOOK)["releases"] == []
    put = {"path": str(sshd.folder / "there"), "text": "x", "mode": 0o600, "owner": "root", "group": "root"}
    steps = [{"kind": "Put", "file": put, "sentence": "Write it."}]
    well, _, _ = line.order({"do": "apply", "who": "a test", "steps": steps}, aloud=True)
    line.close()
    assert well
    assert (sshd.folder / "there").read_text() == "x"
    assert [said.split("] ")[1].split(" (")[0] for said in lines] == ["Write it."]


def test_a_file_arrives_as_it_is(sshd: Served) -> None:
    (sshd.folder / "file").write_bytes(os.urandom(300_000))
    line = ssh.open_machine(sshd.host(), accept=True)
    place, digest = line.upload(sshd.folder / "file")
    line.close()
    assert digest == hashlib.sha256((sshd.folder / "file").read_bytes()).hexdigest()
    assert Path(place).read_bytes() == (sshd.folder / "file").read_bytes()
    Path(place).unlink()


def test_this_machine_needs_no_ssh() -> None:
    line = ssh.open_machine(Host.model_validate({"address": "local"}))
    assert line.query(LOOK)["releases"] == []
    line.close()


def test_who_may_not_become_root_is_told(sshd: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account is root's; what it runs says otherwise."""
    programs = sshd.folder / "bin"
    programs.mkdir()
    for name, code in (("id", "echo 1000"), ("sudo", "echo 'sudo: a password is required' >&2; exit 1")):
        (programs / name).write_text(f"#!/bin/sh\n{code}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        with pytest.raises(Unreachable, match="sudo needs a password"):
            ssh.open_machine(Host.model_validate({"address": "local"}))


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("python3 -c 'import sys; sys.exit(\"its python3 is too old\")'", "its python3 is too old"),
        ("exit 127", "is python3 installed?"),
        ("echo 'sh: 1: python3: not found' >&2; exit 127", "on that machine: apt install python3"),
    ],
)
def test_a_machine_that_cannot_run_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, says: str
) -> None:
    (tmp_path / "python3").write_text(f"#!/bin/sh\nPATH={os.environ['PATH']}\n{program}\n")
    (tmp_path / "python3").chmod(0o755)
    line = ssh.open_machine(Host.model_validate({"address": "local"}))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Unreachable, match=re.escape(says)):
        line.query(LOOK)


def test_what_starts_there_is_read_by_old_pythons_too() -> None:
    first, _, _ = ssh.START.partition("import base64")
    assert "sys.version_info" in first
    ast.parse(ssh.START, feature_version=(3, 4))
