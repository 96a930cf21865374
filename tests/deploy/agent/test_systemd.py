"""What systemd says of our units."""

from __future__ import annotations

from deploy.agent import systemd
from tests.deploy.agent.conftest import Machine


def test_releases_are_those_with_a_process(machine: Machine) -> None:
    machine.has(relay__1="deactivating", relay__2="active", relay__3="failed", server__2="active")
    assert systemd.running_releases("turn") == ["1", "2"]
    assert systemd.all_running() == {"1", "2"}
    assert systemd.unit_state(systemd.unit_name("turn", "3")) == "failed"


def test_ready_is_what_the_socket_says(ready: Machine) -> None:
    assert systemd.is_ready("turn")
    (ready.folder / "relay.sock").unlink()
    assert not systemd.is_ready("turn")


def test_what_only_ends_is_not_asked_to_read_anything(machine: Machine) -> None:
    machine.has(relay__1="deactivating", relay__2="active", server__2="active")
    systemd.reload_serving()
    asked = [line for line in machine.told if line.startswith("reload")]
    assert asked == ["reload calln-relay@2.service", "reload calln-server@2.service"]
