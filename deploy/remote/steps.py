"""The steps of a deployment: what is done to one machine, each of which says itself in one sentence.

They are values: whoever plans prints them, whoever applies carries out the same list.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

HIDDEN = "***"


class File(NamedTuple):
    """A file as it shall be on the machine. One that others may not read is a secret."""

    path: str
    text: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"

    @property
    def is_secret(self) -> bool:
        return not self.mode & 0o004


class Install(NamedTuple):
    """Debian's packages, with apt; none of their services is started (policy-rc.d)."""

    packages: tuple[str, ...]

    def __str__(self) -> str:
        return f"Install Debian's {', '.join(self.packages)}."


class AddRelease(NamedTuple):
    """A release into /opt/calln/releases: shipped, or copied from one that is there with the same code."""

    name: str
    tree: str
    like: str | None
    config: File
    before: str | None = None  # the configuration that serves now

    def __str__(self) -> str:
        if self.like:
            return f"Place the release {self.name}: the code of {self.like} with another configuration."
        return f"Place the release {self.name}."


class Put(NamedTuple):
    """A file. `before` is what is there: None is nothing, and so it is with what must not be shown."""

    file: File
    before: str | None
    exists: bool

    def __str__(self) -> str:
        return f"{'Change' if self.exists else 'Write'} {self.file.path}."

    def diff(self) -> str:
        """A unified diff; of a secret only that there is one."""
        return diff_text(self.file, self.before)


class Remove(NamedTuple):
    """A file, or a folder with all in it."""

    path: str

    def __str__(self) -> str:
        return f"Remove {self.path}."


class Run(NamedTuple):
    """A command that makes what was put come into force. It may be run again at any time."""

    argv: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


class Switch(NamedTuple):
    """From the release that serves to another, for some roles; `old` is None on a fresh machine.

    The new one starts and says that it is ready, and only then the old one ends, with its last call."""

    old: str | None
    new: str
    roles: tuple[str, ...]

    def __str__(self) -> str:
        parts = " and ".join(PARTS[role] for role in self.roles)
        from_ = f" from {self.old}" if self.old else ""
        return f"Switch {parts}{from_} to {self.new}; running calls go on."


class Retire(NamedTuple):
    """The end of parts that this machine shall no longer have, with their last calls."""

    roles: tuple[str, ...]

    def __str__(self) -> str:
        parts = " and ".join(PARTS[role] for role in self.roles)
        return f"End {parts}, which the file no longer wants here; running calls go on."


class Issue(NamedTuple):
    """The first certificate from an authority, by certbot. `argv` is the command; port 80 answers by then."""

    name: str
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"Ask the authority for a certificate for {self.name}."


class Prune(NamedTuple):
    """Old releases, none of which runs."""

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


def described(step: Step) -> str:
    """What a plan prints: the sentence, and for a file or a release what changes in it."""
    if isinstance(step, Put):
        return f"{step}\n{indented(step.diff())}"
    if isinstance(step, AddRelease):
        return f"{step}\n{indented(diff_text(step.config, step.before))}"
    return f"{step}\n"


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
