"""The request to end, and the signals that make it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from host.shutdown import Shutdown

PATIENCE = 5.0


def states(shutdown: Shutdown) -> tuple[bool, bool]:
    return shutdown.requested.is_set(), shutdown.repeated.is_set()


def test_the_second_request_is_another_one() -> None:
    shutdown = Shutdown()
    seen = []
    for _ in range(3):
        shutdown.request()
        seen.append(states(shutdown))
    assert seen == [(True, False), (True, True), (True, True)]


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_signals_request_it(first: signal.Signals) -> None:
    shutdown = Shutdown()
    with shutdown.on_signals(lambda: None):
        os.kill(os.getpid(), first)
        await asyncio.wait_for(shutdown.requested.wait(), PATIENCE)
        assert states(shutdown) == (True, False)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(shutdown.repeated.wait(), PATIENCE)


async def test_a_hangup_reloads_also_one_that_came_before_we_could_hear_it() -> None:
    reloaded: asyncio.Queue[str] = asyncio.Queue()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
    shutdown = Shutdown()
    with shutdown.on_signals(lambda: reloaded.put_nowait("now")):
        assert await asyncio.wait_for(reloaded.get(), PATIENCE) == "now"
    assert states(shutdown) == (False, False)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


async def test_who_can_pass_on_its_work_is_asked_to_by_a_signal_of_its_own() -> None:
    passed: asyncio.Queue[str] = asyncio.Queue()
    shutdown = Shutdown()
    with shutdown.on_signals(lambda: None, lambda: passed.put_nowait("on")):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert await asyncio.wait_for(passed.get(), PATIENCE) == "on"
    assert states(shutdown) == (False, False)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
