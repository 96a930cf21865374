"""`calln watch`: what calln-watch.service does every day and after each renewal of the certificate."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from config.file import Config
from deploy.agent.main import troubles
from deploy.agent.releases import current_release
from deploy.doctor import local
from deploy.doctor.alerts import NotTold, parse_recipients, tell
from deploy.doctor.changes import changes_since
from deploy.doctor.machine import Finding
from deploy.remote.orders import DeployError
from deploy.remote.render import ALERT

TOLD = Path("/var/lib/calln-watch/told.json")


def run(config: Config, _: Namespace) -> int:
    """Tell what is new. Raises DeployError if nobody is to be told, or could not be: then it is told the next
    time."""
    try:
        to = parse_recipients(Path(ALERT).read_text("utf-8"))
    except OSError:
        raise DeployError("nobody is to be told: write deploy.alert, then run calln deploy apply") from None
    found = changes_since(read_told(TOLD), list(all_troubles(config, to.roles)))
    if found:
        try:
            tell(to, found)
        except NotTold as problem:
            raise DeployError(f"not told: {problem}") from None
        write_told(TOLD, found.told)
    print(f"{len(found.begun)} new, {len(found.over)} over, {len(found.told)} in all.")
    return 0


def all_troubles(config: Config, roles: Sequence[str]) -> Iterator[Finding]:
    """What the doctor finds, and what make status would say."""
    for sentence in troubles(list(roles), current_release()):
        text, _, advice = sentence.partition("; ")
        yield Finding(False, text, advice)
    yield from (finding for finding in local.examine(config) if not finding.well)


def read_told(file: Path) -> dict[str, str]:
    try:
        said = json.loads(file.read_text("utf-8"))
        return {str(key): str(text) for key, text in said.items()}
    except (OSError, ValueError, AttributeError):  # never told, or a damaged file: all is told anew
        return {}


def write_told(file: Path, told: dict[str, str]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}")
    draft.write_text(json.dumps(told), "utf-8")
    os.replace(draft, file)
