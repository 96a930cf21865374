"""One worker process from the outside: it starts, answers, hangs, dies and stops."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.turn.crowd import is_alive, pid_of
from tests.turn.engines.world import free
from tests.turn.service.running import LOOPBACK, SECRET, turn
from turn.engines.portable.reuseport import ReuseportGroups
from turn.service.from_config import RelayConfig
from turn.workers import worker_process as module
from turn.workers.rpc import CallFailed, NotAnswered
from turn.workers.shared_ledger import make_memory
from turn.workers.worker import WorkerStart
from turn.workers.worker_process import CannotStart, WorkerProcess


@asynccontextmanager
async def spawned(folder: Path, **keys: object) -> AsyncIterator[tuple[WorkerProcess, WorkerStart]]:
    """A worker process that has not begun yet."""
    at = free("127.0.0.1", "udp")
    groups, ledger, process = ReuseportGroups([at], 1), make_memory(1), WorkerProcess(0)
    start = WorkerStart(
        RelayConfig(turn(**keys), [SECRET]), LOOPBACK, groups.descriptors_of(0), folder, bytes(32), ledger, 1
    )
    await process.spawn((*groups.descriptors_of(0).values(), ledger))
    try:
        yield process, start
    finally:
        await process.stop()
        groups.close()
        os.close(ledger)


async def test_it_starts_answers_and_leaves(tmp_path: Path) -> None:
    async with spawned(tmp_path) as (process, start):
        await process.begin(start)
        assert await process.call("session_count") == 0
        await process.fetch_figures()
        assert "calln_relay_mishaps" in [figure[0] for figure in process.figures]
        assert {figure.kind for figure in process.take_counters()} == {"counter"}
        assert process.figures == []
        with pytest.raises(CallFailed, match="TypeError"):
            await process.call("kill", "one", "two", "three")
        assert isinstance(await process.try_call("kill", "one", "two", "three"), CallFailed)
        await process.stop()
        assert not is_alive(pid_of(process))
        with pytest.raises(NotAnswered):
            await process.call("session_count")
        assert isinstance(await process.try_call("session_count"), NotAnswered)
        await process.fetch_figures()
        assert process.figures == []


async def test_a_folder_that_we_happen_to_be_in_is_no_place_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the name of one of ours, or of another's that we use."""
    for name in ("turn", "pydantic"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    async with spawned(tmp_path) as (process, start):
        await process.begin(start)
        assert await process.call("session_count") == 0


async def test_a_worker_finds_its_modules_where_we_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release is a folder, and another one for what it needs."""
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'came')!r}, 'w').close()")
    monkeypatch.syspath_prepend(str(tmp_path))
    async with spawned(tmp_path) as (process, start):
        await process.begin(start)
        assert (tmp_path / "came").exists()


async def test_it_outlives_signals_that_are_not_for_it(tmp_path: Path) -> None:
    async with spawned(tmp_path) as (process, start):
        await process.begin(start)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid_of(process), number)
        assert await process.call("session_count") == 0


async def test_one_that_cannot_start_says_why_and_ends(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with spawned(tmp_path / "file") as (process, start):
        with pytest.raises(CannotStart, match=r"ot a directory|xists"):
            await process.begin(start)
        await process.until_ended()
        assert not is_alive(pid_of(process))


async def test_one_that_hangs_is_ended_at_the_second_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    async with spawned(tmp_path) as (process, start):
        await process.begin(start)
        os.kill(pid_of(process), signal.SIGSTOP)
        for alive in (True, False):
            with pytest.raises(NotAnswered):
                await process.call("session_count")
            assert (process.misses == 1) is alive
        assert await process.until_ended() > 0
        assert process.rpc is None
