"""A restart of all, as systemd asks for it."""

from __future__ import annotations

import pytest

from deploy.agent import lock, releases, restart
from tests.deploy.agent.conftest import Machine

Capture = pytest.CaptureFixture[str]


def test_what_runs_starts_anew(ready: Machine, capsys: Capture) -> None:
    ready.keeps("1")
    ready.has(relay__1="active")
    releases.set_current("1")
    assert restart.main() == 0
    assert ready.states == {"relay@1": "deactivating", "relay@1.2": "active"}
    assert capsys.readouterr().out.startswith("1.2 runs now, the same release as 1;")


def test_where_nothing_runs_nothing_is_done(ready: Machine) -> None:
    assert restart.main() == 0
    ready.keeps("1")
    releases.set_current("1")
    assert restart.main() == 0
    assert releases.stored_releases() == ["1"]


def test_what_cannot_be_started_changes_nothing(ready: Machine, capsys: Capture) -> None:
    ready.keeps("broken")
    releases.set_current("broken")
    ready.has(relay__broken="active")
    assert restart.main() == 1
    assert "Nothing was restarted: calln-relay@broken.2.service does not start" in capsys.readouterr().err
    assert releases.current_release() == "broken"


def test_a_deployment_at_the_same_time_is_not_disturbed(ready: Machine, capsys: Capture) -> None:
    ready.keeps("1")
    ready.has(relay__1="active")
    releases.set_current("1")
    with lock.exclusive("bob@desk", ready.folder / "lock"):
        assert restart.main() == 1
    assert "bob@desk" in capsys.readouterr().err
    assert ready.states == {"relay@1": "active"}
