"""A machine on which something fails for a while: each call of one function raises the same error."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.turn.engines.world import PATIENCE

# What an open, a bind, a lock or a look into a folder may meet on a machine that is in trouble.
TROUBLES = (
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),  # no descriptor, or no memory, is left
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE),  # the disk
    *(errno.EACCES, errno.EPERM, errno.ENOTDIR),  # somebody else's folder, or none
)


class Fault:
    """While `number` is set, the function raises this error; it counts how often."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        self.number: int | None = None
        self.times = 0
        self.works: Callable[..., Any] = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *values, **named: self.call(*values, **named))

    def call(self, *values: Any, **named: Any) -> Any:
        if self.number is None:
            return self.works(*values, **named)
        self.times += 1
        raise OSError(self.number, os.strerror(self.number), "/canary")

    async def met(self, times: int) -> None:
        """Until it has raised so often."""
        async with asyncio.timeout(PATIENCE):
            while self.times < times:
                await asyncio.sleep(0.005)


async def says(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Until the log holds these words."""
    async with asyncio.timeout(PATIENCE):
        while words not in caplog.text:
            await asyncio.sleep(0.005)
