"""Every engine, by its name in turn.engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from turn.engines import Bind, Engine, Streams
from turn.engines.portable.engine import Portable
from turn.flows import Address


class EngineMaker(Protocol):
    """An engine's constructor. Raises CannotListen and BadCertificate."""

    def __call__(
        self, listen: Sequence[Address], streams: Streams = ..., bind: Bind = ..., *, exclusive: bool = ...
    ) -> Engine: ...


ENGINES: dict[str, EngineMaker] = {"portable": Portable}
