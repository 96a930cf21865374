"""What outlives a restart: the ban list and the call log. All times are seconds since 1970."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple, Protocol

IPAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class StoreError(Exception):
    """The store cannot be used. The text says where and why, `damaged` that what is stored is wrong."""

    def __init__(self, text: str, *, damaged: bool = False) -> None:
        super().__init__(text)
        self.damaged = damaged


class Ban(NamedTuple):
    """A banned network. `until` None: until an operator lifts the ban."""

    network: Network
    since: int
    until: int | None
    reason: str


class Call(NamedTuple):
    """One row of the call log: when a call began, and how many seconds it was."""

    start: int
    seconds: int


class Store(Protocol):
    """The ban list and the call log of one service, which several processes may use at once.

    Open one with `server.store.sqlite.open_store`. Every method may raise StoreError. The store of a running
    server (`server.store.lasting`) raises none; `problem` says why its file is not in use.
    """

    problem: str | None

    def add_ban(self, ban: Ban) -> None:
        """Store a ban. It replaces an older ban of the same network.

        Args:
            ban: the network, the times in seconds since 1970, and the reason.

        Raises:
            StoreError: nothing was stored.
        """
        ...

    def remove_ban(self, network: Network) -> bool:
        """Delete a ban, so that no file holds it any more.

        Args:
            network: exactly the network that was banned.

        Returns:
            Whether there was such a ban.

        Raises:
            StoreError: the ban may still be there.
        """
        ...

    def bans(self) -> list[Ban]:
        """List all bans.

        Returns:
            The bans, oldest first. Some may have ended.

        Raises:
            StoreError: they cannot be read.
        """
        ...

    def add_call(self, call: Call) -> None:
        """Store a row of the call log.

        Args:
            call: its start in seconds since 1970, and its length in seconds.

        Raises:
            StoreError: nothing was stored.
        """
        ...

    def calls(self) -> list[Call]:
        """List the call log.

        Returns:
            The rows, oldest first.

        Raises:
            StoreError: they cannot be read.
        """
        ...

    def version(self) -> int:
        """Say whether another process has changed something.

        Returns:
            A number. It differs from the last one if another process has written since.

        Raises:
            StoreError: it cannot be read.
        """
        ...

    def delete_expired(self, *, calls_before: int, bans_until: int) -> int:
        """Delete old calls and ended bans, so that no file holds them any more.

        Args:
            calls_before: calls that began before this time are deleted; seconds since 1970.
            bans_until: bans that ended at this time or before are deleted; seconds since 1970.

        Returns:
            How many rows were deleted.

        Raises:
            StoreError: some of them may still be there.
        """
        ...

    def close(self) -> None:
        """Close the store. No method may be called afterwards."""
        ...
