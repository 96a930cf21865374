"""`calln ready` asks a real relay: the exit code says whether somebody serves."""

from __future__ import annotations

import asyncio
import contextlib
import io

from deploy.cli.main import main
from tests.turn.process.relay_process import Elsewhere


async def ready(relay: Elsewhere, *part: str) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = await asyncio.to_thread(main, ["ready", *part, "--config", str(relay.file)])
    return code, said.getvalue()


async def test_a_relay_is_ready_until_it_takes_nobody_new(running: Elsewhere) -> None:
    await running.caller().allocate()
    assert await ready(running, "relay") == (0, "relay: ready\n")
    async with running.operator() as operator:
        await operator.post("/drain")
    assert await ready(running, "relay") == (69, "calln: the relay is not ready: draining\n")


async def test_both_have_to_answer_unless_one_is_named(running: Elsewhere) -> None:
    for part in ((), ("serve",)):
        code, said = await ready(running, *part)
        assert code == 69
        assert "the server does not answer" in said
        assert "calln serve" in said
