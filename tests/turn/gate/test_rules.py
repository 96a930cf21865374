"""What passes the gates and what does not, as rows of data/gate.yaml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.turn import call
from tests.turn.call import UFRAGS, VOICE, Call
from turn.gate.gate import Gate
from turn.gate.rules import GATES
from turn.wire.dtls import CLIENT_HELLO, SERVER_HELLO
from turn.wire.hello import RETRY

CASES = yaml.safe_load((Path(__file__).parents[1] / "data" / "gate.yaml").read_text())
FRAGMENT = ("start", "end", "number", "length")


def octets(text: Any) -> bytes:
    """Hexadecimal digits, some zeros, or a whole hello."""
    text = str(text)
    if text.startswith("zero"):
        return bytes(int(text[4:]))
    if text in ("client", "server"):
        return BUILDERS[text](1, {})
    return bytes.fromhex(text)


def pairs(rows: list[Any]) -> list[tuple[int, bytes]]:
    return [(number, octets(value)) for number, value in rows]


def transaction(step: int, how: dict[str, Any]) -> bytes:
    return int(how.get("number", step)).to_bytes(12, "big")


def build_stun(step: int, how: dict[str, Any]) -> bytes:
    return call.stun(
        how["kind"], pairs(how["with"]), transaction(step, how), marked=bool(how.get("marked", True))
    )


def build_request(step: int, how: dict[str, Any]) -> bytes:
    sender = how.get("ufrag", UFRAGS[0].decode()).encode()
    whole = call.request(transaction(step, how), sender, extra=pairs(how.get("extra", [])))
    if how.get("marked", True):
        return whole
    return whole[:2] + (len(whole) - 28).to_bytes(2, "big") + whole[4:-8]


def build_success(step: int, how: dict[str, Any]) -> bytes:
    return call.success(transaction(step, how), pairs(how.get("extra", [])))


def build_hello(kind: int, body: Callable[..., bytes]) -> Callable[[int, dict[str, Any]], bytes]:
    def build(step: int, how: dict[str, Any]) -> bytes:
        given = {key: value for key, value in how.items() if key not in FRAGMENT}
        if "random" in given:
            given["random"] = RETRY if given["random"] == "retry" else bytes.fromhex(given["random"]) * 32
        if "identifier" in given:
            given["identifier"] = bytes.fromhex(given["identifier"])
        parts = {key: value for key, value in how.items() if key in FRAGMENT}
        if parts == {"end": 40}:
            parts["number"] = step
        return call.hello(kind, body(**given), **parts)

    return build


def build_record(step: int, how: dict[str, Any]) -> bytes:
    return call.record(octets(how["content"]), how.get("kind", 22), how.get("epoch", 0))


def build_rtp(step: int, how: dict[str, Any]) -> bytes:
    payload = octets(how["payload"]) if "payload" in how else None
    return call.rtp(how.get("ssrc", VOICE), step, payload)


def build_srtcp(step: int, how: dict[str, Any]) -> bytes:
    """Index and tag as with AES-CM, where a tag is given: what else comes in ten bytes."""
    body = octets(how["body"]) if "body" in how else None
    whole = call.srtcp(step, 12 if body is None else len(body))
    sealed = whole if body is None else whole[:8] + body + whole[8 + len(body) :]
    return sealed[:-10] + octets(how["tag"]) if "tag" in how else sealed


BUILDERS: dict[str, Callable[[int, Any], bytes]] = {
    "raw": lambda step, how: octets(how),
    "stun": build_stun,
    "request": build_request,
    "other_ufrag": lambda step, how: build_request(step, {"ufrag": f"other{step}"}),
    "success": build_success,
    "keepalive": lambda step, how: call.keepalive(transaction(step, how)),
    "ping": lambda step, how: call.ping(transaction(step, how)),
    "pong": lambda step, how: call.pong(transaction(step, how)),
    "client": build_hello(CLIENT_HELLO, call.client_hello),
    "server": build_hello(SERVER_HELLO, call.server_hello),
    "certificate": lambda step, how: call.hello(11, bytes(1000), number=step % 9),
    "record": build_record,
    "unified": lambda step, how: call.unified(**how),
    "rtp": build_rtp,
    "stream": lambda step, how: call.rtp(step, 1),
    "srtcp": build_srtcp,
    "rtcp": lambda step, how: call.rtcp(*how.get("sizes", ())),
}


def prepare(row: dict[str, Any]) -> Call:
    one = Call(vouched=row.get("rule") == "compat")
    given = row.get("given")
    if given is not None:
        one.numbers = iter(range(1000, 2000))  # type: ignore[assignment]
        one.consent()
    if given in ("open", "data"):
        one.shake_hands(srtp=given == "open")
    return one


@pytest.mark.parametrize("row", CASES, ids=lambda row: row["title"].replace(" ", "-"))
def test_case(row: dict[str, Any]) -> None:
    one = prepare(row)
    number = 0
    for step in row["steps"]:
        one.now += step.get("wait", 0)
        act = one.hear if step.get("from") == "peer" else one.say
        times, verdicts = step.get("times", 1), []
        for _ in range(times):
            number += 1
            verdicts.append(act(BUILDERS[step["say"]](number, step.get("how", {}))))
        expected = step["expect"]
        assert verdicts[-1].reason == expected
        passed = step.get("passed", times if expected in ("check", "dtls", "media") else 0)
        assert sum(verdict.passes for verdict in verdicts) == passed


def test_the_first_byte_decides() -> None:
    names = [gate.name for gate in GATES]
    runs = [(name, names.index(name), names.count(name)) for name in ("check", "dtls", "media")]
    assert runs == [("check", 0, 4), ("dtls", 20, 44), ("media", 128, 64)]
    assert len(names) == 256


def test_observe_counts_and_drops_nothing() -> None:
    one = Call(Gate("observe"))
    verdicts = [one.say(payload) for payload in (b"", call.rtp(1, 1), call.rtcp(), b"GET / HTTP/1.1")]
    assert all(verdict.passes for verdict in verdicts)
    assert one.gate.counts == {("enforce", "other"): 2, ("enforce", "no consent"): 2}
