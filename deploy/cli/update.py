"""`make update`: fetches the next release into this clone, shows what is new in it, and deploys it."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from host import VERSION

RELEASE = re.compile(r"v(\d+)\.(\d+)\.(\d+)")  # a tag
Version = tuple[int, ...]


class UpdateError(Exception):
    """There is no update; says why."""


class Clone:
    """A clone of Calln's repository, which releases are fetched into. Its methods raise UpdateError."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        if not (tree / ".git").exists():
            raise UpdateError("this is no clone of git; get the next release as you got this one")

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", "-C", self.tree, *words], capture_output=True, text=True)  # noqa: S603, S607
        if done.returncode:
            last = (done.stderr.strip() or "no reason is given").splitlines()[-1]
            raise UpdateError(f"git {words[0]} failed: {last}")
        return done.stdout

    def newest(self) -> str | None:
        """Fetch, and find the tag of the newest release; None if there is none."""
        self.git("fetch", "--quiet", "--tags")
        tags = filter(RELEASE.fullmatch, self.git("tag", "--list", "v*").split())
        return max(tags, key=version_of, default=None)

    def refuse_changes(self) -> None:
        """Files that git does not know, such as config.yaml, are no changes."""
        changed = self.git("status", "--porcelain", "--untracked-files=no").splitlines()
        if changed:
            names = ", ".join(line[3:] for line in changed[:3])
            raise UpdateError(f"these files were changed here: {names}; commit or undo that first")

    def move_to(self, tag: str) -> None:
        """On a branch that has commits of its own, nothing is moved."""
        on_branch = self.git("rev-parse", "--abbrev-ref", "HEAD").strip() != "HEAD"
        self.git(*(("merge", "--quiet", "--ff-only") if on_branch else ("checkout", "--quiet")), tag)


def version_of(tag: str) -> Version:
    return tuple(map(int, tag.removeprefix("v").split(".")))


def changes(text: str, since: Version) -> str:
    """The sections of a CHANGELOG about versions after this one."""
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    heads = ((re.match(r"## (\d+\.\d+\.\d+)", section), section) for section in sections)
    return "".join(section for head, section in heads if head and version_of(head[1]) > since).strip()


def update(tree: Path, *, ask: bool) -> bool:
    """Bring the clone to the newest release; False if it is there, or if the operator would rather not."""
    clone = Clone(tree)
    tag, now = clone.newest(), version_of(VERSION)
    if tag is None or version_of(tag) <= now:
        print(f"{VERSION} is the newest release.")
        return False
    clone.refuse_changes()
    print(changes(clone.git("show", f"{tag}:CHANGELOG.md"), now) or f"{tag} says nothing of its changes.")
    if ask and not agreed(f"\nUpdate from {VERSION} to {tag[1:]} and deploy it? [y/N] "):
        print("Nothing was changed.")
        return False
    clone.move_to(tag)
    print(f"This clone is at {tag} now.", flush=True)
    return True


def agreed(question: str) -> bool:
    try:
        return input(question).lower() in ("y", "yes")
    except EOFError:
        raise UpdateError("nobody answers; to do it unasked: make update ARGS=--yes") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Then the make of the new release deploys it, with the same words."""
    parser = argparse.ArgumentParser("make update", description="Fetch the next release and deploy it.")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("rest", nargs="*", metavar="MAKE", help="words for make deploy, such as CONFIG=FILE")
    options = parser.parse_args(arguments)
    tree = Path(__file__).parents[2]
    try:
        if not update(tree, ask=not options.yes):
            return 0
    except UpdateError as problem:
        print(f"calln: {problem}", file=sys.stderr)
        return 69
    return os.execvp("make", ["make", "-C", str(tree), "deploy", *options.rest])  # noqa: S606, S607


if __name__ == "__main__":
    sys.exit(main())
