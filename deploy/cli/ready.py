"""`calln ready`: whether server and relay serve, for a container's health check and whatever else watches."""

from __future__ import annotations

from argparse import Namespace

from config.file import Config
from deploy.doctor.operator_client import RELAY, SERVER, readiness

PARTS = {"serve": SERVER, "relay": RELAY}


def run_ready(config: Config, options: Namespace) -> int:
    """0 if all that is asked for is ready. Raises OperatorError for the first that is not: it does not
    answer, or it is ending and takes nobody new."""
    for daemon in [PARTS[options.part]] if options.part else PARTS.values():
        print(f"{daemon.name}: {readiness(config.site.state_dir, daemon)}")
    return 0
