"""Every engine, by its name in turn.engine."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from turn.engines import Bind, Engine, Streams
from turn.engines.kernel.engine import Kernel
from turn.engines.kernel.maps import CannotRide
from turn.engines.kernel.pins import folder_of
from turn.engines.loop.sockets import open_listener
from turn.engines.portable.engine import Portable
from turn.flows import Address

log = logging.getLogger("calln.relay")

PINS = "CALLN_PINS"  # the variable with the folder where a unit of root's has loaded the program for us


class EngineMaker(Protocol):
    """An engine's constructor. Raises CannotListen and BadCertificate, and CannotRide where an engine needs
    what this machine does not give."""

    def __call__(
        self, listen: Sequence[Address], streams: Streams = ..., bind: Bind = ..., *, exclusive: bool = ...
    ) -> Engine: ...


def riding(
    listen: Sequence[Address],
    streams: Streams = Streams(),  # noqa: B008  (frozen)
    bind: Bind = open_listener,
    *,
    exclusive: bool = True,
) -> Engine:
    """With the program as it was loaded for us; otherwise it is loaded now and ends with us. Raises
    CannotListen, BadCertificate and CannotRide."""
    loaded = os.environ.get(PINS)
    pins = folder_of(Path(loaded)) if loaded else None
    return Kernel(listen, streams, bind, exclusive=exclusive, pins=pins)


def fastest(
    listen: Sequence[Address],
    streams: Streams = Streams(),  # noqa: B008  (frozen)
    bind: Bind = open_listener,
    *,
    exclusive: bool = True,
) -> Engine:
    """The kernel's where it works, else the portable one. Raises CannotListen and BadCertificate."""
    try:
        return riding(listen, streams, bind, exclusive=exclusive)
    except CannotRide as problem:
        log.warning("%s; this process carries them", problem)
        engine = Portable(listen, streams, bind, exclusive=exclusive)
        engine.reason = problem.reason
        return engine


ENGINES: dict[str, EngineMaker] = {"auto": fastest, "kernel": riding, "portable": Portable}
