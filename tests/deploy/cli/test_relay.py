"""`calln relay …` against a real relay: what is printed, and the exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import io
from pathlib import Path

import pytest

from deploy.cli import relay as relays
from deploy.cli.main import main
from tests.turn.process.relay_process import Elsewhere


async def calln(relay: Elsewhere, *words: str) -> tuple[int, str]:
    """The exit code, and what stands on the terminal."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = await asyncio.to_thread(main, ["relay", *words, "--config", str(relay.file)])
    return code, said.getvalue()


async def test_sessions_are_listed_and_ended(running: Elsewhere) -> None:
    assert await calln(running, "sessions") == (0, "There are no sessions.\n")
    there = await running.caller().allocate()
    for _ in range(2):
        await running.caller().allocate()
    code, said = await calln(running, "sessions")
    head, *rows = said.splitlines()
    assert (code, head.split()) == (0, list(relays.COLUMNS))
    assert len(rows) == 3
    name = f"{there.host}:{there.port}"
    [row] = [row.split() for row in rows if row.startswith(name)]
    assert row[1] == "alice"
    assert await calln(running, "kill", name) == (0, "Sessions ended: 1.\n")
    assert await calln(running, "kill", "--user", "alice") == (0, "Sessions ended: 2.\n")
    code, said = await calln(running, "kill", name)
    assert (code, "no such session" in said) == (69, True)


@pytest.mark.parametrize("words", [[], ["127.0.0.1:5", "--user", "alice"]])
async def test_whom_to_end_is_said_once(running: Elsewhere, words: list[str]) -> None:
    assert await calln(running, "kill", *words) == (2, "calln: write either a session or --user NAME\n")


async def test_figures_are_printed_in_words(running: Elsewhere) -> None:
    await running.caller().allocate()
    code, said = await calln(running, "stats")
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert code == 0
    assert "1 allocations udp ipv4" in lines
    assert "1 refusals 401" in lines


async def test_a_reload_says_what_waits_and_a_broken_file_what_is_wrong(running: Elsewhere) -> None:
    assert await calln(running, "reload") == (0, "The relay uses the new configuration.\n")
    running.write(realm="elsewhere")
    code, said = await calln(running, "reload")
    assert (code, said.splitlines()[1]) == (
        0,
        "These keys change only after a restart of the relay: turn.realm",
    )
    running.write(relm="elsewhere")
    code, said = await calln(running, "reload")
    assert code == 78
    assert "config.yaml:1:" in said
    assert "turn.relm: unknown key" in said


async def test_a_reload_that_the_relay_alone_refuses(running: Elsewhere) -> None:
    await running.caller().allocate()
    running.write(relay_addresses=["192.0.2.99"])
    code, said = await calln(running, "reload")
    assert code == 69
    assert "192.0.2.99 is no address of this machine" in said
    assert "the relay goes on as it was" in said
    running.write()
    assert len((await calln(running, "sessions"))[1].splitlines()) == 2


async def test_a_drained_relay_ends_with_its_last_session(running: Elsewhere) -> None:
    await running.caller().allocate()
    code, said = await calln(running, "drain")
    assert (code, said) == (
        0,
        "The relay accepts no new clients. It will end after the last of its 1 sessions.\n",
    )
    assert running.process.returncode is None
    await calln(running, "kill", "--user", "alice")
    assert await running.ended() == 0


def test_no_relay_is_told_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("site: {state_dir: state}\n")
    for words in (["--config", str(file), "stats"], ["stats", "--config", str(file)]):
        assert main(["relay", *words]) == 69
        told = capsys.readouterr().err
        assert str(tmp_path / "state" / "relay.sock") in told
        assert "Start it with calln relay" in told


PRINTABLE = [("alice", "alice"), ("a\x1b[31m", "a?[31m"), ("two\nlines", "two?lines"), ("Åsa", "Åsa")]


@pytest.mark.parametrize(("name", "shown"), PRINTABLE)
def test_names_do_not_steer_the_terminal(name: str, shown: str) -> None:
    assert relays.printable(name) == shown
