"""Makes a relay that goes on with the calls of the process before it, and keeps them for the next one."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from host.logs import describe
from host.memory_folder import NotInMemory, memory_folder
from turn.core.relay import Relay, Settings
from turn.service.allocation_file import AllocationFile, Head, name_of_files
from turn.service.inheritance import inherit
from turn.service.keeper import FORGETFUL, Keeper, NoKeeper
from turn.service.relayed_ports import Owner, this_process

log = logging.getLogger("calln.relay")


class Keeping(NamedTuple):
    """For which process allocations are kept: `keeper` starts the next one. `key`: the one of nonces that all
    workers have; without it, the key of the process before."""

    keeper: Owner
    worker: int = 0
    workers: int = 1
    key: bytes = b""


def kept_relay(settings: Settings, state_dir: Path, keeping: Keeping) -> tuple[Relay, Keeper | NoKeeper]:
    """With the key of the nonces that clients have; where nothing can be kept, a relay as any other."""
    try:
        return open_relay(settings, memory_folder(), name_of_files(state_dir), keeping)
    except NotInMemory as reason:
        log.warning("calls end with this process: %s", reason)
    except OSError as error:
        log.warning("calls end with this process: %s", describe(error))
    return Relay(settings), FORGETFUL


class PoolBefore(NamedTuple):
    """What workers that start need to know of those before, if there were any: their key, and whether they
    were as many, so that the kernel gives each client to the same worker."""

    key: bytes | None = None
    as_many: bool = True


def pool_before(state_dir: Path, workers: int) -> PoolBefore:
    try:
        found = inherit(memory_folder(), name_of_files(state_dir), this_process())
    except (NotInMemory, OSError):  # each worker says so
        return PoolBefore()
    as_many = all(file.head.workers == workers for file in found.files)
    found.close(taken=False)
    return PoolBefore(found.key, as_many)


def forget_dead(state_dir: Path) -> None:
    """Remove what workers of this process have left that died and were not replaced. Raises OSError."""
    with suppress(NotInMemory):
        inherit(memory_folder(), name_of_files(state_dir), this_process()).close(taken=True)


def open_relay(settings: Settings, folder: Path, name: str, keeping: Keeping) -> tuple[Relay, Keeper]:
    """Raises OSError."""
    keeper, worker, workers, key = keeping
    inheritance = inherit(folder, name, keeper, worker, workers)
    settings = replace(settings, nonce_key=key or inheritance.key or settings.nonce_key)
    try:
        head = Head(settings.nonce_key, keeper, worker, workers, time.monotonic())
        file = AllocationFile(folder, name, head)
    except OSError:
        inheritance.close(taken=False)
        raise
    relay = Relay(settings)
    return relay, Keeper(relay, file, inheritance)
