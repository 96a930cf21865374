"""The channel between the two pages: what goes over it, what it stands, and what it keeps out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.documents import DOCS
from tests.live.conftest import Visit
from tests.live.said import CHOOSE_NOISE, HOLIDAY, TYPED, WITHOUT_CHANNEL, kind_of
from tests.live.service import Service
from tests.live.visitors import talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECTION = (
    (DOCS / "protocol.md").read_text("utf-8").split("\n## `calln-channel.v1`", 1)[1].split("\n## ", 1)[0]
)
READ = """async (texts) => {
  const { readMessage } = await import("/static/channel_messages.js");
  return texts.map(readMessage);
}"""
REFUSED: Mapping[str, str] = {
    "no JSON": "hello",
    "no object": '["text"]',
    "null": "null",
    "no type": '{"id": 1}',
    "a type of every object": '{"type": "toString"}',
    "a type that is none": '{"type": {"text": 1}}',
    "an unknown type": '{"type": "offer"}',
    "no text": '{"type": "text", "id": 1}',
    "an empty text": '{"type": "text", "id": 1, "text": ""}',
    "a long text": json.dumps({"type": "text", "id": 1, "text": "x" * 4001}),
    "a text that is none": '{"type": "text", "id": 1, "text": ["x"]}',
    "a number of 0": '{"type": "text", "id": 0, "text": "x"}',
    "half a number": '{"type": "text", "id": 1.5, "text": "x"}',
    "a large number": '{"type": "received", "id": 2147483648}',
    "a large picture": '{"type": "picture", "picture": 1, "size": 2097153, "mime": "image/png"}',
    "a picture of nothing": '{"type": "picture", "picture": 1, "size": 0, "mime": "image/png"}',
    "a script": '{"type": "picture", "picture": 1, "size": 9, "mime": "image/svg+xml"}',
    "muted by a word": '{"type": "muted", "muted": "yes"}',
    "a reason with a mark": '{"type": "bye", "reason": "<b>"}',
    "more than a message": json.dumps({"type": "typing", "more": "x" * 50_000}),
    "deep": "[" * 30_000,
}
# What a page that breaks every rule sends. The other page must stay as it is.
FLOOD = """() => {
  const channel = watched.channels.at(-1);
  const say = (message) => channel.send(JSON.stringify(message));
  for (let number = 1; number <= 300; number++) say({ type: "text", id: number, text: `flood ${number}` });
  for (let number = 0; number < 100; number++) {
    say({ type: "picture", picture: number, size: 2 ** 21, mime: "image/png" });
    channel.send(new Uint8Array(16));
  }
  for (let number = 0; number < 1000; number++) channel.send("{".repeat(50));
}"""


def examples() -> list[tuple[str, dict[str, Any]]]:
    parts = [part.partition("\n") for part in SECTION.split("\n### ")[1:]]
    return [
        (kind, json.loads(block))
        for kind, _, text in parts
        for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    ]


async def test_the_document_is_right(visit: Visit) -> None:
    """The page reads each example, has one for each message, and keeps the limits of the table."""
    visitor = await visit()
    told = examples()
    read = await visitor.page.evaluate(READ, [json.dumps(message) for _, message in told])
    assert read == [message for _, message in told]
    assert [kind for kind, _ in told] == [message["type"] for _, message in told]
    paces = await visitor.page.evaluate("import('/static/channel_messages.js').then((one) => one.PACES)")
    assert {kind for kind, _ in told} == set(paces)
    rows = re.findall(r"^\| (`.*`) \| ([0-9.,]+) a second, ([0-9,]+) at once \|$", SECTION, re.MULTILINE)
    said = {kind: message for kind, message in told if kind.startswith("safety")}
    parts = ("calln-channel.v1 safety", "commitment", "first", said["safety-reveal"]["nonce"])
    assert said["safety-commit"]["hash"] == hashlib.sha256("\n".join(parts).encode()).hexdigest()
    limits = {
        kind: [float(each.replace(",", "")), float(burst.replace(",", ""))]
        for kinds, each, burst in rows
        for kind in re.findall(r"`([a-z-]+)`", kinds)
    }
    assert limits == paces


async def test_what_is_no_message_is_none(visit: Visit) -> None:
    visitor = await visit()
    read = await visitor.page.evaluate(READ, list(REFUSED.values()))
    assert dict(zip(REFUSED, read, strict=True)) == dict.fromkeys(REFUSED)
    longest = {"type": "text", "id": 1, "text": "\U0001f642" * 4000}
    more = {**longest, "from": "partner", "__proto__": {"x": 1}}
    assert await visitor.page.evaluate(READ, [json.dumps(more)]) == [longest]


async def test_a_page_without_the_channel_goes_through_the_server_and_both_say_so(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await other.context.add_init_script(WITHOUT_CHANNEL)
    await other.page.reload()
    await talk(one, other)
    for pictures, (speaker, listener) in enumerate(((one, other), (other, one)), start=1):
        text = f"{TYPED} {speaker is one}"
        await speaker.write(text)
        await listener.reads(text)
        await speaker.until_fate(text, "sent")
        await speaker.page.set_input_files("#file", HOLIDAY)
        await speaker.press("Send the picture")
        for visitor in (one, other):
            await visitor.until_picture(pictures)
    for visitor in (one, other):
        entries = visitor.page.locator(".entry")
        assert await entries.count() == 4
        assert await entries.filter(has_text="through the server, which could read it").count() == 4
        assert {"text", "picture"} < {*map(kind_of, visitor.sent)}
        assert visitor.complaints == []


async def test_a_crash_of_the_server_loses_no_line_that_goes_through_it(
    service: Service, visit: Visit
) -> None:
    one, other = await visit(), await visit()
    await other.context.add_init_script(WITHOUT_CHANNEL)
    await other.page.reload()
    await talk(one, other)
    await service.end("serve")
    for speaker in (one, other):
        await speaker.write(f"{TYPED} {speaker is one}")
        await speaker.until_fate(f"{TYPED} {speaker is one}", "sending")
    await service.begin("serve", service.page_answers)
    for speaker, listener in ((one, other), (other, one)):
        await listener.reads(f"{TYPED} {speaker is one}")
        await speaker.until_fate(f"{TYPED} {speaker is one}", "sent")
    await one.page.set_input_files("#file", HOLIDAY)
    await one.press("Send the picture")
    for visitor in (one, other):
        await visitor.until_picture()
        await visitor.hears()


async def test_one_sees_that_the_partner_writes(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.page.get_by_label("Message").press_sequentially("one letter after the other")
    await other.until("() => document.getElementById('typing').textContent.includes('is writing')")
    await one.page.keyboard.press("Enter")
    await other.reads("one letter after the other")
    await other.until("() => document.getElementById('typing').textContent === ''")
    await one.page.get_by_label("Message").press_sequentially("a")  # soon after the sign before
    await other.until("() => document.getElementById('typing').textContent.includes('is writing')")


async def test_what_was_said_while_the_path_was_broken_arrives(service: Service, visit: Visit) -> None:
    """A picture goes on where it was, and a line waits."""
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await talk(one, other)
    await one.hears()
    await service.end("relay")
    await one.page.evaluate(CHOOSE_NOISE)
    await one.press("Send the picture")
    await one.until("() => !document.getElementById('sending').hidden")
    await one.write(TYPED)
    await one.until_fate(TYPED, "sending")
    await service.begin("relay", service.relay_answers)
    await one.until_fate(TYPED, "delivered")
    await other.reads(TYPED)
    await other.until_picture()
    await one.until_picture()


async def test_what_did_not_arrive_is_said_not_to_have_arrived(service: Service, visit: Visit) -> None:
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await talk(one, other)
    await one.hears()
    await service.end("relay")
    await one.write(TYPED)
    await one.page.evaluate(CHOOSE_NOISE)
    await one.press("Send the picture")
    await one.until("() => !document.getElementById('sending').hidden")
    await other.press("Stop")
    await one.until_says("hung up")
    await one.until_fate(TYPED, "lost")
    await one.until("() => document.querySelector('.entry.you[data-sent=lost] img')")
    assert await one.page.locator("#sending").is_hidden()
    await service.begin("relay", service.relay_answers)


async def test_who_floods_loses_the_channel_and_harms_nobody(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await other.page.evaluate(FLOOD)
    await one.until("() => watched.channels.at(-1).readyState === 'closed'")
    assert await one.page.get_by_text("flood", exact=False).count() <= 60
    await one.hears()
    assert one.complaints == []
    assert (await one.states())[-1] == "talking"


async def test_who_opens_another_channel_ends_the_call(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await other.page.evaluate("void watched.connections.at(-1).createDataChannel('another')")
    await one.until_says("in a way that no page of this site does")
    await one.until_state("ended")


async def test_the_page_of_a_partner_says_why_it_goes(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    bye = json.dumps({"type": "bye", "reason": "broken"})
    await other.page.evaluate("(bye) => watched.channels.at(-1).send(bye)", bye)
    await one.until_says("was lost and did not come back")
    await one.until_state("ended")
    await other.until_says("hung up")
