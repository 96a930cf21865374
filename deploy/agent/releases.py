"""From one release to another: the new one starts beside the old one, and only when it is ready does the old
one end, with its last call. What goes wrong before leaves the old one serving."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.agent.systemd import UNITS, Failed, releases, running, start, state, systemctl, unit, until_left

PLACE = Path("/opt/calln/releases")
CURRENT = Path("/opt/calln/current")
WANTS = Path("/etc/systemd/system/multi-user.target.wants")


def switch(new: str, roles: Sequence[str]) -> None:
    """Raises Failed; then what served before serves on."""
    begun: list[str] = []
    before = {role: releases(role) for role in UNITS}
    try:
        for role in UNITS:
            if role in roles and state(unit(role, new)) != "active":
                begun.append(role)
                start(role, new)
    except Failed:
        for role in reversed(begun):
            systemctl("stop", "--no-block", unit(role, new))
            systemctl("reset-failed", unit(role, new))
        raise
    point_to(new)
    for role, older in before.items():
        if role in roles:
            keep_at_boot(role, new)
        for release in older:
            if release != new and role in roles:
                systemctl("stop", "--no-block", unit(role, release))


def retire(roles: Sequence[str]) -> None:
    """They end with their last call, and no start of the machine brings them up. Raises Failed for one that
    goes on taking newcomers."""
    for role in roles:
        for release in releases(role):
            systemctl("disable", "--quiet", unit(role, release))
            systemctl("stop", "--no-block", unit(role, release))
        until_left(role)


def point_to(new: str) -> None:
    """In one rename: there is always a current release."""
    draft = CURRENT.with_name(f".{CURRENT.name}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(PLACE / new)
    draft.rename(CURRENT)


def keep_at_boot(role: str, release: str) -> None:
    """The machine's next start brings up this release of the role, and no other."""
    for link in WANTS.glob(f"{UNITS[role]}@*.service"):
        if link.name != unit(role, release):
            systemctl("disable", "--quiet", link.name)
    systemctl("enable", "--quiet", unit(role, release))


def current() -> str | None:
    return Path(os.readlink(CURRENT)).name if CURRENT.is_symlink() else None


def kept() -> list[str]:
    """The releases there are, the newest first."""
    there = [path for path in PLACE.glob("*") if path.is_dir() and not path.name.startswith(".")]
    return [path.name for path in sorted(there, key=lambda path: path.stat().st_mtime, reverse=True)]


def back_to(wanted: str | None) -> str:
    """The release to go back to: the one named, else the one before. Raises Failed."""
    now, there = current(), kept()
    if wanted is None:
        older = there[there.index(now) + 1 :] if now in there else there
        wanted = next((name for name in (*older, *there) if name != now), None)
    if wanted is None:
        raise Failed("no other release is kept here: there is nothing to go back to")
    if wanted not in there:
        raise Failed(f"no release {wanted} is kept here; there are {', '.join(there) or 'none'}")
    return wanted


def rested(name: str) -> str:
    """One that can be started: a release that still drains cannot, but a copy under another name can."""
    number, fresh = 2, name
    while any(state(unit(role, fresh)) == "deactivating" for role in UNITS):
        fresh, number = f"{name}.{number}", number + 1
    if fresh != name and not (PLACE / fresh).exists():
        linked(name, fresh)
    return fresh


def linked(name: str, copy: str) -> None:
    """The same files under another name, which take no room."""
    draft = PLACE / f".{copy}"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(PLACE / name, draft, copy_function=os.link)
    draft.rename(PLACE / copy)


def prune(names: Sequence[str]) -> None:
    """None that runs, drains or is the current one."""
    spared = running() | {current()}
    for name in names:
        if name not in spared:
            shutil.rmtree(PLACE / name, ignore_errors=True)
