"""What outlives a restart: the ban list and the call log. Times are seconds since 1970."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple, Protocol

Network = IPv4Network | IPv6Network


class StateError(Exception):
    """What is kept cannot be read or written; the text says where and why."""


class Ban(NamedTuple):
    """A network that is kept out. `until` None: until somebody lifts it."""

    network: Network
    since: int
    until: int | None
    reason: str


class Call(NamedTuple):
    """That a call happened: when it began, how long it was."""

    start: int
    seconds: int


class State(Protocol):
    """Every verb may raise StateError."""

    def add_ban(self, ban: Ban) -> None:
        """Keep it; another one for the same network is replaced."""
        ...

    def remove_ban(self, network: Network) -> bool:
        """False: there was none."""
        ...

    def bans(self) -> list[Ban]: ...

    def add_call(self, call: Call) -> None: ...

    def calls(self) -> list[Call]: ...

    def version(self) -> int:
        """Another number than before whenever another process has changed something."""
        ...

    def forget(self, *, calls_before: int, bans_until: int) -> int:
        """Delete calls that began before and bans that ended until, so that no file holds them any more."""
        ...

    def close(self) -> None: ...
