"""Orders to a machine, as JSON, and the errors of a deployment."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from typing import Any

from deploy.remote.steps import Step


class DeployError(Exception):
    """A deployment cannot go on; says why and what to do."""


class Unreachable(DeployError):
    """A machine cannot be reached or used."""


def as_json(value: object) -> Any:
    """A value for JSON: a named tuple becomes an object, any other tuple a list."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: as_json(part) for name, part in zip(value._fields, value, strict=True)}
    return [as_json(part) for part in value] if isinstance(value, (list, tuple)) else value


def as_order(step: Step, archive: tuple[str, str] | None) -> dict[str, Any]:
    """One step as the agent takes it; `archive` is the path of the release there and its SHA-256."""
    order = {**as_json(step), "kind": type(step).__name__, "sentence": str(step)}
    if order["kind"] == "AddRelease" and not order["like"] and archive:
        order["archive"] = dict(zip(("place", "sha256"), archive, strict=True))
    return order


def apply_order(steps: Sequence[Step], archive: tuple[str, str] | None = None) -> dict[str, Any]:
    return {"do": "apply", "who": operator(), "steps": [as_order(step, archive) for step in steps]}


def operator() -> str:
    """The name that others see who want to deploy at the same time."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
