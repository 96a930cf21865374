"""From one release to another: the new one starts beside the old one.

Only when the new one is ready, the old one is told to end, after its last call. If anything fails before, the
old one goes on running.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.agent.systemd import (
    UNITS,
    StepFailed,
    all_running,
    running_releases,
    start_unit,
    systemctl,
    unit_name,
    unit_state,
    wait_until_drained,
)

RELEASES = Path("/opt/calln/releases")
CURRENT = Path("/opt/calln/current")
WANTS = Path("/etc/systemd/system")
COPY = re.compile(r"\.[0-9]+$")  # of a release with the same code and configuration


def switch_release(new: str, roles: Sequence[str]) -> None:
    """Start the new release and end the others. Raises StepFailed; then the old one still runs."""
    begun: list[str] = []
    before = {role: running_releases(role) for role in UNITS}
    try:
        for role in UNITS:
            if role in roles and unit_state(unit_name(role, new)) != "active":
                begun.append(role)
                start_unit(role, new)
    except StepFailed:
        for role in reversed(begun):
            systemctl("stop", "--no-block", unit_name(role, new))
            systemctl("reset-failed", unit_name(role, new))
        raise
    set_current(new)
    for role, older in before.items():
        if role in roles:
            enable_at_boot(role, new)
        for release in older:
            if release != new and role in roles:
                systemctl("stop", "--no-block", unit_name(role, release))


def retire_roles(roles: Sequence[str]) -> None:
    """End roles after their last call and do not start them at boot. Raises StepFailed."""
    for role in roles:
        for release in running_releases(role):
            systemctl("disable", "--quiet", unit_name(role, release))
            systemctl("stop", "--no-block", unit_name(role, release))
        wait_until_drained(role)


def set_current(new: str) -> None:
    """Make this the current release, in one rename: there is always a current one."""
    draft = CURRENT.with_name(f".{CURRENT.name}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(RELEASES / new)
    draft.rename(CURRENT)


def enable_at_boot(role: str, release: str) -> None:
    """Start this release of the role at boot, and no other."""
    for link in WANTS.glob(f"*.wants/{UNITS[role]}@*.service"):
        if link.name != unit_name(role, release):
            systemctl("disable", "--quiet", link.name)
    systemctl("enable", "--quiet", unit_name(role, release))


def current_release() -> str | None:
    return Path(os.readlink(CURRENT)).name if CURRENT.is_symlink() else None


def stored_releases() -> list[str]:
    """The names of all releases on the machine, the newest first."""
    folders = [path for path in RELEASES.glob("*") if path.is_dir() and not path.name.startswith(".")]
    return [path.name for path in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)]


def rollback_target(wanted: str | None) -> str:
    """The release to go back to: the one that is named, or else the one before. Raises StepFailed."""
    now, stored = current_release(), stored_releases()
    if wanted is None:
        older = stored[stored.index(now) + 1 :] if now in stored else stored
        wanted = next((name for name in (*older, *stored) if stem(name) != stem(now or "")), None)
    if wanted is None:
        raise StepFailed("there is no earlier release on this machine")
    if wanted not in stored:
        raise StepFailed(
            f"the release {wanted} is not on this machine; there are: {', '.join(stored) or 'none'}"
        )
    return wanted


def startable(name: str) -> str:
    """A name that can be started: a release that still has calls cannot, but a copy of it can."""
    number, fresh = 2, name
    while any(unit_state(unit_name(role, fresh)) == "deactivating" for role in UNITS):
        fresh, number = f"{stem(name)}.{number}", number + 1
    if fresh != name and not (RELEASES / fresh).exists():
        hard_link_copy(name, fresh)
    return fresh


def restart_release(roles: Sequence[str]) -> tuple[str, str]:
    """Switch from the current release to a copy of it; both names. Raises StepFailed."""
    now = current_release()
    if now is None:
        raise StepFailed("Calln is not installed here; run calln deploy apply")
    copies = [f"{stem(now)}.{number}" for number in range(2, len(stored_releases()) + 3)]
    fresh = next(name for name in copies if not (RELEASES / name).exists())
    hard_link_copy(now, fresh)
    try:
        switch_release(fresh, roles)
    finally:
        remove_releases([name for name in stored_releases() if COPY.search(name) and stem(name) == stem(now)])
    return now, fresh


def stem(name: str) -> str:
    """The release that this one may be a copy of."""
    return COPY.sub("", name)


def hard_link_copy(name: str, copy: str) -> None:
    """Copy a release with hard links, which need no space."""
    draft = RELEASES / f".{copy}"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(RELEASES / name, draft, copy_function=os.link)
    os.utime(draft)
    draft.rename(RELEASES / copy)


def remove_releases(names: Sequence[str]) -> None:
    """Remove releases, but none that runs or is the current one."""
    spared = all_running() | {current_release()}
    for name in names:
        if name not in spared:
            shutil.rmtree(RELEASES / name, ignore_errors=True)
