"""A secret that changes while calls go on."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.agent import secrets
from deploy.agent.systemd import StepFailed
from tests.deploy.agent.conftest import Machine
from turn.credentials import mint

SECRET = secrets.FILE


@pytest.fixture
def file(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = machine.folder / "turn.secret"
    path.write_text("the old one\n")
    monkeypatch.setattr(secrets, "FILE", path)
    monkeypatch.setattr(secrets, "GROUP", "root")
    monkeypatch.setattr(secrets, "TIMER_FILE", machine.folder / secrets.TIMER)
    return path


def test_both_are_good_until_the_old_one_is_withdrawn(machine: Machine, file: Path) -> None:
    machine.has(relay__1="active", server__1="active", relay__0="deactivating")
    secrets.change_secret({"new": "the new one", "first": False, "withdraw": 0})
    assert secrets.current_lines() == ["the old one", "the new one"]
    secrets.change_secret({"new": "the new one", "first": True, "withdraw": 60})
    assert secrets.current_lines() == ["the new one", "the old one"]
    reloads = [line for line in machine.told if line.startswith("reload")]
    assert reloads[:3] == [f"reload calln-{name}.service" for name in ("relay@1", "server@1", "relay@1")]
    assert machine.told[-3:] == [
        f"{verb} calln-withdraw.timer".replace("daemon-reload calln-withdraw.timer", "daemon-reload ")
        for verb in ("stop", "daemon-reload", "enable")
    ]
    [when] = [line for line in secrets.TIMER_FILE.read_text().splitlines() if line.startswith("OnCalendar")]
    then = datetime.strptime(when, "OnCalendar=%Y-%m-%d %H:%M:%S %Z").replace(tzinfo=UTC)
    assert 0 < then.timestamp() - time.time() <= 60


def test_the_withdrawal_keeps_the_first_line_and_the_mode(machine: Machine, file: Path) -> None:
    file.write_text("the new one\nthe old one\n")
    file.chmod(0o640)
    script = Path("templates/usr/local/sbin/calln-withdraw").read_text()
    for name, place in {
        str(SECRET): str(file),
        "/usr/local/sbin/calln-reload": "true",
        "/etc/systemd/system": str(machine.folder),
    }.items():
        script = script.replace(name, place)
    subprocess.run(["sh", "-c", script], check=True)
    assert secrets.current_lines() == ["the new one"]
    assert file.stat().st_mode & 0o777 == 0o640
    assert machine.told[-1] == "disable calln-withdraw.timer"


def test_a_credential_is_one_that_the_relay_takes(file: Path) -> None:
    said = secrets.trial_credential({"user": "doctor", "seconds": 60})
    expires = int(said["username"].split(":")[0])
    assert expires - time.time() <= 60
    assert mint(b"the old one", "doctor", expires).password == said["password"]


def test_without_a_secret_one_deploys_first(file: Path) -> None:
    file.unlink()
    with pytest.raises(StepFailed, match="calln deploy apply first"):
        secrets.current_lines()
