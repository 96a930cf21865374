"""The steps of a deployment on one machine; each step has one sentence.

Steps are values: plan prints the same list that apply carries out.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

HIDDEN = "***"


class File(NamedTuple):
    """A file for the machine. If others may not read it, it is a secret."""

    path: str
    text: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"

    @property
    def is_secret(self) -> bool:
        return not self.mode & 0o004


class Install(NamedTuple):
    """Install Debian packages with apt; their services are not started (policy-rc.d)."""

    packages: tuple[str, ...]

    def __str__(self) -> str:
        return f"Install the Debian packages {', '.join(self.packages)}."


class AddRelease(NamedTuple):
    """Add a release to /opt/calln/releases: from an archive, or as a copy of one with the same code."""

    name: str
    tree: str
    like: str | None
    config: File
    before: str | None = None  # the configuration of the running release

    def __str__(self) -> str:
        if self.like:
            return f"Add the release {self.name}: the code of {self.like} with another configuration."
        return f"Add the release {self.name}."


class Put(NamedTuple):
    """Write a file. `before` is its present text; None if there is no file, or if it must not be shown."""

    file: File
    before: str | None
    exists: bool

    def __str__(self) -> str:
        return f"{'Change' if self.exists else 'Write'} {self.file.path}."

    def diff(self) -> str:
        """A unified diff; a secret shows only that it changes."""
        return diff_text(self.file, self.before)


class Remove(NamedTuple):
    """Remove a file, or a folder with all its files."""

    path: str

    def __str__(self) -> str:
        return f"Remove {self.path}."


class Run(NamedTuple):
    """Run a command that activates new files. It can be repeated safely."""

    argv: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


class Switch(NamedTuple):
    """Switch from the running release to another, for some roles; `old` is None on a new machine.

    First the new one starts; when it is ready, the old one is told to end, after its last call."""

    old: str | None
    new: str
    roles: tuple[str, ...]

    def __str__(self) -> str:
        parts = " and ".join(PARTS[role] for role in self.roles)
        from_ = f" from {self.old}" if self.old else ""
        return f"Switch {parts}{from_} to {self.new}; running calls go on."


class Retire(NamedTuple):
    """End parts that this machine must no longer have, after their last calls."""

    roles: tuple[str, ...]

    def __str__(self) -> str:
        parts = " and ".join(PARTS[role] for role in self.roles)
        return f"End {parts}, which the file no longer has on this machine; running calls go on."


class Issue(NamedTuple):
    """Get a certificate with certbot; `argv` is the command. Port 80 must answer before, if the
    authority asks there. `why` tells what is
    wrong with the one that is there, if there is one."""

    names: tuple[str, ...]
    argv: tuple[str, ...]
    why: str = ""

    def __str__(self) -> str:
        return f"Get a certificate for {', '.join(self.names)}{f': {self.why}' if self.why else ''}."


class Prune(NamedTuple):
    """Remove old releases that do not run."""

    releases: tuple[str, ...]

    def __str__(self) -> str:
        return f"Remove the old release{'s' * (len(self.releases) > 1)} {', '.join(self.releases)}."


PARTS = {"server": "the server", "turn": "the relay"}
Step = Install | Put | AddRelease | Remove | Run | Switch | Retire | Issue | Prune


def diff_text(file: File, before: str | None) -> str:
    if file.is_secret:
        old, new = [HIDDEN] * (before is not None), [HIDDEN]
        return "\n".join([*(f"-{line}" for line in old), *(f"+{line}" for line in new)]) + "\n"
    lines = difflib.unified_diff(
        (before or "").splitlines(), file.text.splitlines(), file.path, file.path, lineterm=""
    )
    return "".join(f"{line}\n" for line in lines)


def described(step: Step, *, new_files: bool = True) -> str:
    """The text of a step in a plan: its sentence, and the diff of a file or a configuration.

    The first plan for a machine is ten times shorter without the contents of `new_files`."""
    if isinstance(step, Put) and (new_files or step.exists):
        return f"{step}\n{indented(step.diff())}"
    if isinstance(step, AddRelease):
        return f"{step}\n{indented(diff_text(step.config, step.before))}"
    return f"{step}\n"


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
