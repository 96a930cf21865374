"""What is new since the last look at a machine: told once, and again when it is over."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from deploy.doctor.machine import Finding

NUMBER = re.compile(r"[0-9]+")


class Changes(NamedTuple):
    """What has begun, what is over, and what has been told then: the text of each trouble by its key."""

    begun: tuple[Finding, ...]
    over: tuple[str, ...]
    told: dict[str, str]

    def __bool__(self) -> bool:
        return bool(self.begun or self.over)

    def subject(self, machine: str) -> str:
        if self.begun:
            return f"Calln on {machine}: {len(self.begun)} new trouble{'s' * (len(self.begun) > 1)}"
        return f"Calln on {machine}: {'all is well again' if not self.told else 'something is well again'}"

    def message_text(self) -> str:
        begun = [f"Not well: {one.text}\n    {one.advice}" for one in self.begun]
        over = [f"Over: {text}" for text in self.over]
        others = len(self.told) - len(self.begun)
        known = [f"Told before, and still not well: {others}."] if others else []
        return "\n".join([*begun, *over, *known]) + "\n"


def key_of(text: str) -> str:
    """The same for the same trouble, although its numbers change from day to day."""
    return NUMBER.sub("#", text)


def changes_since(told: Mapping[str, str], troubles: Sequence[Finding]) -> Changes:
    """`told` is what was told at the last look."""
    now = {key_of(one.text): one for one in troubles}
    begun = tuple(one for key, one in now.items() if key not in told)
    over = tuple(text for key, text in told.items() if key not in now)
    return Changes(begun, over, {key: one.text for key, one in now.items()})
