"""What the doctor says of the channel from server to relays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.doctor import channel
from deploy.doctor.machine import Finding
from tests.deploy.doctor.local_machine import local_machine


def figures(servers: float) -> list[dict[str, Any]]:
    return [{"name": "calln_relay_servers", "labels": {}, "value": servers}]


@pytest.mark.parametrize(
    ("servers", "users", "well", "words"),
    [
        (1.0, {}, True, "hears from a server"),
        (0.0, {}, False, "No server speaks to the relay"),
        (0.0, {"alice": "a long password"}, True, "No server speaks to the relay"),
    ],
)
def test_a_relay_that_hears_no_server_is_told(
    tmp_path: Path, servers: float, users: dict[str, str], well: bool, words: str
) -> None:
    """One that has users of its own may be meant for them."""
    machine = local_machine(figures(servers), users=users)
    site = machine.config.site.model_copy(update={"state_dir": tmp_path})
    machine = machine._replace(config=machine.config.model_copy(update={"site": site}))
    [finding] = channel.check_channel(machine)
    assert finding.well is well
    assert words in finding.text


def test_a_relay_that_does_not_hear_the_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    links = [
        {"host": "turn1.example", "problem": "", "untold": 0},
        {"host": "turn2.example", "problem": "it has another secret", "untold": 3},
    ]
    monkeypatch.setattr(channel, "request_json", lambda *_, **__: {"relays": links})
    _, one, other = channel.check_channel(local_machine(figures(1.0)))
    assert one == Finding(True, "The relay at turn1.example hears the server.")
    assert not other.well
    assert "turn2.example" in other.text
    assert "another secret" in other.text
