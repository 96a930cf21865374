"""Sockets of several processes at one address: the kernel gives each client to one of them, always the same.

The process that makes them keeps all of them open, so that the group does not change when a worker dies. The
other workers keep their clients, and packets for the dead worker wait in its socket for its successor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from socket import socket

from turn.engines import Bind, CannotListen
from turn.engines.loop import sockets
from turn.engines.tcp.unix_acceptor import UNIX_LISTENER
from turn.flows import Address


class ReuseportGroups:
    """At each address, one socket for each of so many processes. Raises CannotListen."""

    def __init__(self, listen: Sequence[Address], members: int, bind: Bind = sockets.open_listener) -> None:
        self._groups: dict[Address, list[socket]] = {}
        try:
            for address in listen:
                self._bind(address, members, bind)
        except OSError as error:
            self.close()
            raise CannotListen(address, error) from None

    def _bind(self, address: Address, members: int, bind: Bind) -> None:
        """The first is bound unshared: that fails if another program has the address. Raises OSError."""
        made = self._groups.setdefault(address, [])
        made.append(bind(address))
        join = bind if address == UNIX_LISTENER else partial(sockets.open_listener, shared=True)
        made.extend(join(address) for _ in range(members - 1))

    def descriptors_of(self, member: int) -> Mapping[Address, int]:
        """One process's descriptors, by address."""
        return {address: made[member].fileno() for address, made in self._groups.items()}

    def close(self) -> None:
        for made in self._groups.values():
            for sock in made:
                sock.close()
