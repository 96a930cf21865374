"""The machine and configuration that the doctor checks in tests."""

from __future__ import annotations

from typing import Any

from config.file import Config
from deploy.doctor.machine import LocalMachine
from tests.turn.service.running import RELAYED


def local_machine(figures: list[dict[str, Any]] | None = None, **turn: object) -> LocalMachine:
    config = Config.model_validate({"turn": {"listen": "udp://0.0.0.0:3478", "relay_ports": RELAYED, **turn}})
    return LocalMachine(config, figures)
