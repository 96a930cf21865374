"""What a machine is told to do, as JSON, and the errors of whoever tells it."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from typing import Any

from deploy.remote.steps import Step


class DeployError(Exception):
    """A deployment stops here; says why, and what to do."""


class Unreachable(DeployError):
    """A machine cannot be worked on."""


def as_json(value: object) -> Any:
    """A value as JSON has it: a named tuple is an object, any other a list."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: as_json(part) for name, part in zip(value._fields, value, strict=True)}
    return [as_json(part) for part in value] if isinstance(value, (list, tuple)) else value


def as_order(step: Step, archive: tuple[str, str] | None) -> dict[str, Any]:
    """One step as deploy/agent carries it out; `archive`: where the release lies there, and its SHA-256."""
    order = {**as_json(step), "kind": type(step).__name__, "sentence": str(step)}
    if order["kind"] == "AddRelease" and not order["like"] and archive:
        order["archive"] = dict(zip(("place", "sha256"), archive, strict=True))
    return order


def apply_order(steps: Sequence[Step], archive: tuple[str, str] | None = None) -> dict[str, Any]:
    return {"do": "apply", "who": operator(), "steps": [as_order(step, archive) for step in steps]}


def operator() -> str:
    """Whom others are told of, who want to deploy at the same time."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
