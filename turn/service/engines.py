"""Every engine, by its name in turn.engine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from turn.engines import Bind, Engine, Streams
from turn.engines.kernel.engine import Kernel
from turn.engines.kernel.program import CannotRide
from turn.engines.loop.sockets import open_listener
from turn.engines.portable.engine import Portable
from turn.flows import Address

log = logging.getLogger("calln.relay")


class EngineMaker(Protocol):
    """An engine's constructor. Raises CannotListen and BadCertificate, and CannotRide where an engine needs
    what this machine does not give."""

    def __call__(
        self, listen: Sequence[Address], streams: Streams = ..., bind: Bind = ..., *, exclusive: bool = ...
    ) -> Engine: ...


def fastest(
    listen: Sequence[Address],
    streams: Streams = Streams(),  # noqa: B008  (frozen)
    bind: Bind = open_listener,
    *,
    exclusive: bool = True,
) -> Engine:
    """The kernel's where it works, else the portable one. Raises CannotListen and BadCertificate."""
    try:
        return Kernel(listen, streams, bind, exclusive=exclusive)
    except CannotRide as reason:
        log.warning("%s; this process carries them", reason)
        return Portable(listen, streams, bind, exclusive=exclusive)


ENGINES: dict[str, EngineMaker] = {"auto": fastest, "kernel": Kernel, "portable": Portable}
