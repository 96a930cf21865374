"""Root's part of the kernel engine, as a process: it loads the program or takes it away, and ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from host import logs
from turn.config.section import Turn
from turn.engines.kernel import loader
from turn.engines.kernel.engine import SLOTS
from turn.engines.kernel.pins import folder_of


def run(load: Path | None, unload: Path | None, read: Callable[[], Turn]) -> int:
    """Do what is asked for; the exit code. Raises what `read` raises, and CannotRide."""
    logs.start_logging()
    if unload is not None:
        loader.unload(folder_of(unload))
    if load is not None and (turn := read()).engine != "portable":
        loader.load(folder_of(load), turn.workers, SLOTS, loopback=turn.allow_loopback_peers)
    return 0
