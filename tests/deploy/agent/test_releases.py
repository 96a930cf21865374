"""The switch from one release to another: order, failure, and what is left alone."""

from __future__ import annotations

import pytest

from deploy.agent import releases
from deploy.agent.systemd import StepFailed
from tests.deploy.agent.conftest import Machine

BOTH = ("server", "turn")


def test_the_first_release_starts_relay_before_server(ready: Machine) -> None:
    releases.switch_release("1", BOTH)
    assert ready.states == {"relay@1": "active", "server@1": "active"}
    assert releases.current_release() == "1"
    begun = [line for line in ready.told if line.startswith(("start", "enable"))]
    assert begun == [
        f"{verb} calln-{name}@1.service" for verb in ("start", "enable") for name in ("relay", "server")
    ]


def test_the_old_one_drains_when_the_new_one_serves(ready: Machine) -> None:
    ready.has(relay__1="active", server__1="active")
    releases.switch_release("2", BOTH)
    drains = {"relay@1": "deactivating", "server@1": "deactivating"}
    assert ready.states == {**drains, "relay@2": "active", "server@2": "active"}
    starts = [line.split()[0] for line in ready.told if line.split()[0] in ("start", "stop")]
    assert starts == ["start", "start", "stop", "stop"]


def test_what_does_not_start_leaves_the_old_one_serving(ready: Machine) -> None:
    ready.has(relay__1="active", server__1="active")
    releases.set_current("1")
    with pytest.raises(StepFailed, match=r"calln-relay@broken\.service does not start. .*\nthe last words"):
        releases.switch_release("broken", BOTH)
    assert {name: state for name, state in ready.states.items() if "@1" in name} == {
        "relay@1": "active",
        "server@1": "active",
    }
    assert releases.current_release() == "1"
    assert "stop calln-relay@broken.service" in ready.told


def test_what_never_gets_ready_is_stopped_again(machine: Machine) -> None:
    machine.has(relay__1="active")
    with pytest.raises(StepFailed, match="is not ready"):
        releases.switch_release("2", ("turn",))
    assert machine.states == {"relay@1": "active", "relay@2": "deactivating"}


def test_a_second_switch_to_the_same_starts_nothing(ready: Machine) -> None:
    ready.has(relay__1="active", server__1="active")
    releases.switch_release("1", BOTH)
    assert not any(line.startswith(("start", "stop")) for line in ready.told)


def test_another_role_is_left_alone(ready: Machine) -> None:
    ready.has(relay__1="active", server__1="active")
    releases.switch_release("2", ("server",))
    assert ready.states == {"relay@1": "active", "server@1": "deactivating", "server@2": "active"}


def test_a_part_that_is_retired_drains_and_comes_back_with_no_start(machine: Machine) -> None:
    machine.has(relay__1="active", relay__2="active", server__2="active")
    releases.retire_roles(["turn"])
    assert machine.states == {"relay@1": "deactivating", "relay@2": "deactivating", "server@2": "active"}
    ended = [line.split()[1] for line in machine.told if line.startswith("disable")]
    assert ended == ["calln-relay@1.service", "calln-relay@2.service"]


def test_a_part_that_goes_on_taking_newcomers_is_told(ready: Machine) -> None:
    ready.has(relay__1="active")
    with pytest.raises(StepFailed, match="calln-relay does not end"):
        releases.retire_roles(["turn"])


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [("3", None, "2"), ("1", None, "3"), ("3", "1", "1"), ("gone", None, "3")],
)
def test_back_to(machine: Machine, current: str, wanted: str | None, expected: str) -> None:
    machine.keeps("1", "2", "3")
    releases.set_current(current)
    assert releases.rollback_target(wanted) == expected


def test_back_to_what_is_not_there_names_what_is(machine: Machine) -> None:
    machine.keeps("1", "2")
    with pytest.raises(StepFailed, match="the release 9 is not on this machine; there are: 2, 1"):
        releases.rollback_target("9")


def test_nothing_to_go_back_to(machine: Machine) -> None:
    machine.keeps("1")
    releases.set_current("1")
    with pytest.raises(StepFailed, match="no earlier release"):
        releases.rollback_target(None)


def test_a_release_that_drains_comes_back_as_a_copy(machine: Machine) -> None:
    machine.keeps("1", "2")
    machine.has(relay__1="deactivating")
    assert releases.startable("1") == "1.2"
    assert (releases.RELEASES / "1.2" / "config.py").samefile(releases.RELEASES / "1" / "config.py")
    assert releases.startable("2") == "2"


def test_a_restart_is_a_switch_to_a_copy(ready: Machine) -> None:
    """Of copies that do not run any more only the newest stays."""
    ready.keeps("0.9-a", "1.0-b")
    ready.has(relay__1__0="active")
    releases.set_current("1.0-b")
    assert releases.restart_release(["turn", "server"]) == ("1.0-b", "1.0-b.2")
    assert releases.restart_release(["turn", "server"]) == ("1.0-b.2", "1.0-b.3")
    assert releases.current_release() == "1.0-b.3"
    assert ready.states["relay@1.0-b.3"] == "active"
    assert ready.states["relay@1.0-b.2"] == "deactivating"
    ready.has()
    releases.restart_release(["turn", "server"])
    assert releases.stored_releases()[0] == "1.0-b.4"
    assert set(releases.stored_releases()) == {"0.9-a", "1.0-b", "1.0-b.4"}
    assert releases.rollback_target(None) == "0.9-a"


def test_a_copy_that_does_not_start_changes_nothing(ready: Machine) -> None:
    ready.keeps("broken")
    releases.set_current("broken")
    (ready.folder / "units").write_text('{"calln-relay@broken.service": "active"}')
    with pytest.raises(StepFailed, match="does not start"):
        releases.restart_release(["turn"])
    assert releases.current_release() == "broken"
    assert ready.states["relay@broken"] == "active"


def test_what_runs_is_not_pruned(machine: Machine) -> None:
    machine.keeps("1", "2", "3", "4")
    machine.has(relay__1="deactivating", server__2="active")
    releases.set_current("3")
    releases.remove_releases(["1", "2", "3", "4"])
    assert sorted(releases.stored_releases()) == ["1", "2", "3"]


def test_only_the_new_one_comes_back_with_the_machine(ready: Machine) -> None:
    folder = releases.WANTS / "multi-user.target.wants"
    folder.mkdir(parents=True)
    for name in (
        "calln-relay@1.service",
        "calln-relay@2.service",
        "calln-server@1.service",
        "other@1.service",
    ):
        (folder / name).touch()
    releases.switch_release("2", ("turn",))
    ended = [line.split()[1] for line in ready.told if line.startswith("disable")]
    assert ended == ["calln-relay@1.service"]
