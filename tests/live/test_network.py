"""The network between page and server goes and comes back: visitors who talk or wait just go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.live.cable import Cable
from tests.live.conftest import Visit
from tests.live.said import CHOOSE_NOISE, WITHOUT_CHANNEL
from tests.live.service import Service
from tests.live.visitors import start, talk
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLUG = free_port()
# So many bytes are unsent when the page asks, and after each wait: how often it waits for an answer.
WAITS = """async (unsent) => {
  const { Patience } = await import("/static/patience.js");
  const socket = { bufferedAmount: 0 };
  const [timers, set] = [[], window.setTimeout];
  let dead = false;
  window.setTimeout = (act) => timers.push(act);
  const patience = new Patience(() => (dead = true));
  patience.greeting(socket);
  timers.length = 0; // the greeting has come
  patience.rest();
  socket.bufferedAmount = unsent.shift();
  patience.asked();
  let waits = 0;
  for (; !dead && timers.length; waits += 1) {
    socket.bufferedAmount = unsent.shift() ?? 0;
    timers.shift()();
  }
  window.setTimeout = set;
  return waits;
}"""
SLOWLY = 400_000  # bytes a second: a picture takes some seconds
# A silent call has its signalling again: how often new relays are asked for, without any further look.
HURRY = """async (over) => {
  const { Repair } = await import("/static/repair.js");
  const { promise, resolve } = Promise.withResolvers();
  let asked = 0;
  const fresh = async () => void resolve((asked += 1));
  const pc = { signalingState: "stable" };
  const repair = new Repair({ pc, pulse: { state: "silent", silentFor: 0 }, fresh, isFirst: true });
  repair.hurry();
  if (over) repair.end();
  await Promise.race([promise, new Promise((done) => setTimeout(done, 2000))]);
  return asked;
}"""
# The voice is back, or not, while the addresses of new relays are on their way: how often ICE is restarted.
MENDED = """async (back) => {
  const { Repair } = await import("/static/repair.js");
  const pulse = { state: "silent", silentFor: 0 };
  const { promise, resolve } = Promise.withResolvers();
  let restarts = 0;
  const pc = { signalingState: "stable" };
  const restart = () => (restarts += 1);
  const repair = new Repair({ pc, pulse, fresh: () => promise, restart, isFirst: true });
  const work = () => new Promise((done) => setTimeout(done));
  repair.look();
  if (back) pulse.state = "heard";
  resolve({}); // before the next look
  await work();
  pulse.state = "heard";
  for (let number = 0; number < 9; number += 1, await work()) repair.look();
  return restarts;
}"""
# The voice does not come back by restarts: which attempts ask for a new connection.
ANEW = """async (connected) => {
  const { Repair } = await import("/static/repair.js");
  const now = performance.now.bind(performance);
  const asked = [];
  let passed = 0;
  const call = {
    pc: { signalingState: "stable" }, pulse: { state: "silent", silentFor: 0 }, connected, isFirst: true,
    fresh: async () => ({}), restart: (_, anew) => asked.push(anew),
  };
  performance.now = () => now() + passed;
  const repair = new Repair(call);
  for (let attempt = 0; attempt < 4; attempt += 1, passed += 10_000) {
    repair.look();
    await new Promise((done) => setTimeout(done));
  }
  performance.now = now;
  return asked;
}"""
# How long nothing comes, in ms, before a path and a socket count as dead; by the timers that are set.
JUDGED = """async () => {
  const { Pulse } = await import("/static/pulse.js");
  const { Patience } = await import("/static/patience.js");
  const [setLook, setJudge] = [window.setInterval, window.setTimeout];
  const waits = [];
  let [packets, look, every, looked] = [50, null, 0, null];
  const voice = () => ({ type: "inbound-rtp", kind: "audio", packetsReceived: packets });
  window.setInterval = (act, ms) => ([look, every] = [act, ms]);
  window.setTimeout = (_, ms) => waits.push(ms);
  const pulse = new Pulse({ getStats: async () => new Map([["voice", voice()]]) }, () => looked());
  const patience = new Patience(() => {});
  patience.greeting({ bufferedAmount: 0 });
  patience.rest(); // the greeting has come
  patience.asked();
  [window.setInterval, window.setTimeout] = [setLook, setJudge];
  const take = () => new Promise((done) => ((looked = done), look()));
  await take();
  let looks = 0;
  for (; pulse.state !== "silent"; looks += 1) await take();
  return [looks * every, waits.at(-1)];
}"""
# A connection stands and brings no voice, with or without reports: what the pulse says before and after.
OVERDUE = """async (reported) => {
  const { Pulse } = await import("/static/pulse.js");
  const [setLook, now] = [window.setInterval, performance.now.bind(performance)];
  let [look, looked, passed, timestamp] = [null, null, 0, 0];
  const kind = { type: "remote-outbound-rtp", kind: "audio" };
  const report = () => ({ ...kind, timestamp: reported ? (timestamp += 1) : 0 });
  window.setInterval = (act) => (look = act);
  performance.now = () => now() + passed;
  const pulse = new Pulse({ getStats: async () => new Map([["report", report()]]) }, () => looked());
  window.setInterval = setLook;
  const states = [];
  const take = async () => {
    for (let times = 0; times < 3; times += 1) await new Promise((done) => ((looked = done), look()));
    states.push(pulse.state);
  };
  passed += 10_000; // without a connection there is nothing to wait for
  await take();
  pulse.begin();
  await take();
  passed += 5_100;
  await take();
  performance.now = now;
  return states;
}"""
NO_TICKS = "window.Worker = class { terminate() {} };"
# What makes a page ask at once whether its socket is alive.
SIGNS = {
    "another network": "dispatchEvent(new Event('online'))",
    "it is looked at again": "document.dispatchEvent(new Event('visibilitychange'))",
}


def sections(_: Path) -> Mapping[str, Mapping[str, Any]]:
    """The server allows pages that were opened through the cable as well."""
    return {"site": {"url": f"http://127.0.0.1:{PLUG}"}}


@pytest_asyncio.fixture(loop_scope="module")
async def cable(service: Service) -> AsyncIterator[Cable]:
    cable = Cable(service.http)
    await cable.plug(PLUG)
    service.url = f"http://127.0.0.1:{PLUG}/"
    yield cable
    await cable.pull()


async def test_a_call_goes_on_and_what_was_typed_meanwhile_arrives(cable: Cable, visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await cable.pull()
    await one.until_says("cannot be reached")
    await one.write("typed while away")
    await one.hears()
    await cable.plug(PLUG)
    await other.reads("typed while away")
    for visitor in (one, other):
        await visitor.until("() => document.getElementById('trouble').textContent === ''")
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
        assert "resume" in visitor.said("hello")[-1]
    await other.write("and an answer")
    await one.reads("and an answer")


async def test_a_picture_through_the_server_whose_socket_is_cut_arrives(cable: Cable, visit: Visit) -> None:
    one, other = await visit(), await visit()
    for visitor in (one, other):
        await visitor.context.add_init_script(WITHOUT_CHANNEL)
        await visitor.page.reload()
    await talk(one, other)
    cable.rate = SLOWLY
    await one.page.evaluate(CHOOSE_NOISE)
    await one.press("Send the picture")
    await one.until("() => document.getElementById('progress').value > 0.1")
    await cable.pull()
    await one.until_says("cannot be reached")
    assert await other.pictures() == []
    cable.rate = 0
    await cable.plug(PLUG)
    for visitor in (one, other):
        await visitor.until_picture()
    await one.until("() => document.getElementById('sending').hidden")
    shown = [(await visitor.pictures())[-1] for visitor in (one, other)]
    assert shown[0] == shown[1]


async def test_who_waits_waits_on(cable: Cable, visit: Visit) -> None:
    one = await visit()
    await start([one])
    await one.until_says("Looking for somebody")
    await cable.pull()
    await one.until_says("cannot be reached")
    await cable.plug(PLUG)
    await one.until_says("Looking for somebody")
    other = await visit()
    await start([other])
    for visitor in (one, other):
        await visitor.until_state("talking")
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
    await one.hears()


@pytest.mark.parametrize(
    ("unsent", "waits"),
    [([0], 1), ([300, 0], 1), ([60_000, 60_000], 1), ([60_000, 30_000, 30_000], 2), ([60_000, 0], 2)],
    ids=["nothing", "questions", "a picture that stands", "a picture that stops", "a picture that passes"],
)
async def test_only_a_picture_that_passes_keeps_a_socket_alive(
    cable: Cable, visit: Visit, unsent: list[int], waits: int
) -> None:
    """Short messages always pass to a dead network: they wait for the browser alone."""
    assert await (await visit()).page.evaluate(WAITS, unsent) == waits


@pytest.mark.parametrize("over", [False, True], ids=["in a call", "after it"])
async def test_a_silent_call_is_repaired_once_the_server_is_there(
    cable: Cable, visit: Visit, over: bool
) -> None:
    assert await (await visit()).page.evaluate(HURRY, over) == (0 if over else 1)


@pytest.mark.parametrize("back", [False, True], ids=["silent", "back meanwhile"])
async def test_a_call_restarts_ice_once_and_not_when_it_is_mended(
    cable: Cable, visit: Visit, back: bool
) -> None:
    assert await (await visit()).page.evaluate(MENDED, back) == (0 if back else 1)


@pytest.mark.parametrize("connected", [False, True])
async def test_a_connection_that_stands_and_stays_silent_gives_way_to_a_new_one(
    cable: Cable, visit: Visit, connected: bool
) -> None:
    """As with a Firefox that was stopped for longer than a consent lasts: two restarts, then another one."""
    assert await (await visit()).page.evaluate(ANEW, connected) == [False, False, connected, connected]


async def test_a_dead_path_and_a_dead_socket_are_found_within_five_seconds(
    cable: Cable, visit: Visit
) -> None:
    path, socket = await (await visit()).page.evaluate(JUDGED)
    assert 0 < path <= 5000
    assert 0 < socket <= 5000


@pytest.mark.parametrize(("reported", "state"), [(False, "silent"), (True, "quiet")])
async def test_a_voice_that_never_comes_is_missed(
    cable: Cable, visit: Visit, reported: bool, state: str
) -> None:
    """As when a relay dies between the handshake and the first packet: without this, until ICE gives up."""
    assert await (await visit()).page.evaluate(OVERDUE, reported) == ["never", "never", state]


@pytest.mark.parametrize("sign", [*SIGNS, "none"])
async def test_a_dead_socket_is_told_and_replaced(cable: Cable, visit: Visit, sign: str) -> None:
    """The page asks again and again; and at once at a sign, so here nothing but that makes it ask."""
    one, other = await visit(), await visit()
    if sign in SIGNS:
        await one.context.add_init_script(NO_TICKS)
        await one.page.reload()
    await talk(one, other)
    cable.swallow()
    try:
        if sign in SIGNS:
            await one.page.evaluate(SIGNS[sign])
        await one.until_says("The connection is slow")
    finally:
        cable.let_through()
    await one.until("() => document.getElementById('trouble').textContent === ''")
    assert "resume" in one.said("hello")[-1]
    await one.hears()
    assert await one.states() == ["idle", "waiting", "connecting", "talking"]


async def test_a_silent_call_asks_at_once_whether_its_sockets_are_alive(
    cable: Cable, service: Service, visit: Visit
) -> None:
    """Both pages: the one that is not the first to repair the path, too."""
    ends = [await visit("?relay=1"), await visit("?relay=1")]
    for visitor in ends:
        await visitor.context.add_init_script(NO_TICKS)
        await visitor.page.reload()
    await talk(*ends)
    for visitor in ends:
        await visitor.hears()  # a voice that was never heard is not missed yet
    asked = [len(visitor.said("ping")) for visitor in ends]
    await service.end("relay")
    try:
        for visitor, before in zip(ends, asked, strict=True):
            await visitor.until_says("Trying to get it back")
            assert len(visitor.said("ping")) > before
    finally:
        await service.begin("relay", service.relay_answers)


async def test_the_next_try_is_announced(cable: Cable, visit: Visit) -> None:
    visitor = await visit()
    await cable.pull()
    await visitor.press("Start")
    await visitor.until_says("Trying again in")
    await visitor.press("Stop")
    await visitor.until_state("idle")
    await cable.plug(PLUG)
    await visitor.press("Start")
    await visitor.until_says("Looking for somebody")
    assert await visitor.states() == ["idle", "waiting", "idle", "waiting"]
