"""Every relay is asked again and again; a death is told once, and no error ends the watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from server import relay_watch
from server.ice import IceServers, IceSettings
from server.relay_health import BACK_SECONDS
from server.relay_watch import RETURNING, SILENT, RelayWatch

PATIENCE = 10.0


class Relays:
    """Relays that answer or do not, the watch over them, and a clock that a test moves."""

    def __init__(self, *hosts: str) -> None:
        self.now = 0.0
        self.answers: dict[str, bool | Exception] = dict.fromkeys(hosts, True)
        self.asked: dict[str, int] = dict.fromkeys(hosts, 0)
        self.died: list[str] = []
        first, *more = hosts
        self.ice = IceServers(IceSettings(first, (3478,), b"", 600, more_hosts=tuple(more)))
        self.watch = RelayWatch(self.ice, lambda: self.now, self.died.append)

    def question(self, host: str) -> Callable[[], asyncio.Future[bool]]:
        return lambda: asyncio.ensure_future(self.ask(host))

    async def ask(self, host: str) -> bool:
        self.asked[host] += 1
        answer = self.answers[host]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def asked_again(self, host: str, times: int = 3) -> None:
        before = self.asked[host]
        async with asyncio.timeout(PATIENCE):
            while self.asked[host] < before + times:
                await asyncio.sleep(0.001)

    def figures(self) -> dict[str, float]:
        samples = (sample for metric in self.watch.collect() for sample in metric.samples)
        return {sample.labels["relay"]: sample.value for sample in samples}


@asynccontextmanager
async def watching(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> AsyncIterator[Relays]:
    monkeypatch.setattr(relay_watch, "EVERY_SECONDS", 0.001)
    relays = Relays(*hosts)
    relays.watch.start(relays.question)
    try:
        yield relays
    finally:
        await relays.watch.stop_asking()


async def test_a_relay_that_dies_is_told_once_and_given_to_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(monkeypatch, "a", "b") as relays:
        await relays.asked_again("a")
        assert set(relays.ice.relays("x", None)) == {"a", "b"}
        relays.answers["a"] = False
        await relays.asked_again("a", 5)
        assert relays.died == ["a"]
        assert relays.watch.troubles() == {"a": SILENT}
        assert relays.ice.relays("x", None) == ("b",)
        assert relays.figures() == {"a": 0.0, "b": 1.0}
    assert caplog.text.count("the relay a does not answer") == 1


async def test_it_is_given_again_after_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with watching(monkeypatch, "a", "b") as relays:
        await relays.asked_again("a")
        relays.answers["a"] = False
        await relays.asked_again("a", 5)
        relays.answers["a"] = True
        await relays.asked_again("a", 5)
        assert relays.watch.troubles() == {"a": RETURNING}
        relays.now += BACK_SECONDS
        await relays.asked_again("a", 2)
        assert relays.watch.troubles() == {}
        assert set(relays.ice.relays("x", None)) == {"a", "b"}
        assert relays.died == ["a"]
    assert caplog.text.count("the relay a answers: pages are told of it again") == 1


@pytest.mark.parametrize("error", [OSError("no descriptor is left"), ValueError("a mistake of ours")])
async def test_an_error_ends_nothing_and_is_no_death(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async with watching(monkeypatch, "a") as relays:
        relays.answers["a"] = error
        await relays.asked_again("a", 5)
        assert relays.died == []
        relays.answers["a"] = False
        await relays.asked_again("a", 5)
        assert relays.died == ["a"]
    assert caplog.text.count("the look at a relay failed") == 1
    assert str(error) not in caplog.text


async def test_who_hears_of_a_death_cannot_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch, "a") as relays:
        relays.watch.on_death = int  # a host is no number
        relays.answers["a"] = False
        await relays.asked_again("a", 9)
        assert relays.watch.troubles() == {"a": SILENT}


async def test_a_reload_may_name_other_relays(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch, "a", "b", "c") as relays:
        await relays.asked_again("c")
        relays.ice.settings = relays.ice.settings._replace(more_hosts=("b",))
        relays.watch.follow_settings()
        await relays.asked_again("b")
        before = relays.asked["c"]
        await relays.asked_again("b")
        assert relays.asked["c"] == before
        assert set(relays.figures()) == {"a", "b"}


async def test_nothing_is_asked_before_the_start() -> None:
    relays = Relays("a")
    relays.watch.follow_settings()
    assert (relays.watch.tasks, relays.watch.troubles(), relays.figures()) == ({}, {}, {"a": 1.0})
