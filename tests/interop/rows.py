"""The foreign clients, as data: the table that docs/clients.md shows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.interop.cases import ALL, COUNT, WAYS, Row, fine

CACHE = ".cache/interop"  # what `make interop` built or fetched; see the Makefile
BIN = Path(sys.executable).parent
UCLIENT, STUNCLIENT, NATDISCOVERY = "turnutils_uclient", "turnutils_stunclient", "turnutils_natdiscovery"
EVERY = "every option"
GATE = "encrypted only"
NEW = "SHA-256, RFC 5780, RFC 3489 on"  # at the relay
IPV4 = fine("UDP", "TCP", "TLS")
HEARD = rf"heard {COUNT} through relay$"
NONE_LOST = r"Total lost packets 0 \("
ACCOUNT = ("{name}", "{credential}")
ALICE, REST = ("-u", "{user}", "-w", "{password}"), ("-u", "bob", "-W", "{secret}")


def uclient(what: str, *flags: str, account: tuple[str, ...] = ALICE, **more: Any) -> Row:
    size = ("-n", str(COUNT), "-m", "2", "-l", "170", "-e", "{host}", "-r", "{peer}", "-p", "{port}")
    command = (UCLIENT, *account, *flags, "FLAGS", *size, "{host}")
    return Row(UCLIENT, what, command, **{"cells": ALL, "proof": NONE_LOST, **more})


def refused(outcome: str, *ways: str) -> Mapping[str, str]:
    return dict.fromkeys(ways or WAYS, outcome)


def python(module: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"tests.interop.clients.{module}", *words, "{count}")


def pair(
    client: str, cells: Mapping[str, str], *command: str, what: str = "relay-only pair", **more: Any
) -> Row:
    return Row(client, what, command, cells, HEARD, **more)


def discovery(what: str, proof: str, *flags: str) -> Row:
    command = (NATDISCOVERY, *flags, "-p", "{port}", "{host}")
    return Row(NATDISCOVERY, what, command, fine("UDP"), proof, kind=EVERY)


def browsers(one: str, other: str, cells: Mapping[str, str], **more: Any) -> Row:
    words = (one.lower(), other.lower(), "{page_url}", "{transport}", *ACCOUNT, "{trust}")
    name = one if one == other else f"{one} and {other}"
    return pair(name, cells, *python("browser", *words), heavy=True, **more)


OVER_UDP = "media travel over UDP"
TURNUTILS = (
    uclient("channels to a peer"),
    uclient("indications to a peer", "-s"),
    uclient("channels to each other", "-y"),
    uclient("indications to each other", "-y", "-s"),
    uclient("without RTCP", "-y", "-c"),
    uclient("time-limited credentials", "-y", account=REST),
    uclient(NEW, "-y", kind=EVERY),
    uclient("IPv4 asked for", "-X", cells=IPV4),
    uclient("DONT-FRAGMENT", "-y", "-g"),
    uclient("padded channels", "-y", "-D"),
    uclient("malformed requests in between", "-y", "-N"),
    uclient("requests for many peers at random", "-y", "-G"),
    uclient("no permissions", "-y", "-I"),
    uclient("OAuth (RFC 7635)", "-y", "-J", reason="not offered; the client goes on with its password"),
    uclient("mobility (RFC 8016)", "-y", "-M", cells=refused("405"), reason="it is a way round limits"),
    uclient("TCP to the peer (RFC 6062)", "-T", cells=refused("442"), reason=OVER_UDP),
    uclient("TCP from the peer (RFC 6062)", "-T", "-P", cells=refused("442"), reason=OVER_UDP),
    uclient(
        "DTLS",
        "-S",
        cells=refused("no answer", "UDP"),
        patience=8,
        reason="no browser uses it towards a relay",
    ),
    uclient("clients that vanish", "-y", "-B", cells=refused("unharmed"), hostile=True, patience=30),
    uclient(
        "two families",
        "-Z",
        cells=refused("unharmed", "UDP"),
        hostile=True,
        reason="asked for by 0x8032, not RFC 8656's number: it gets one, and gives up at random",
    ),
    uclient("broken requests", "-y", "-R", cells=refused("unharmed"), hostile=True, patience=8),
    uclient(
        "connecting and leaving at once", "-y", "-O", cells=refused("unharmed"), hostile=True, patience=8
    ),
    Row(
        STUNCLIENT,
        "STUN",
        (STUNCLIENT, "-p", "{port}", "{host}"),
        fine("UDP", "UDP, v6"),
        "reflexive addr: ",
    ),
    discovery("mapping (RFC 5780)", "Endpoint Independent Mapping!", "-m"),
    discovery("filtering (RFC 5780)", "Endpoint Independent Filtering!", "-f"),
    discovery("hairpinning, padded", "successful hairpinning", "-H", "-P"),
)

RTC = python("rtc", "{url}", *ACCOUNT)
ICE = python("ice", "{host}", "{port}", "{transport}", *ACCOUNT)
NICE = python("libnice", "{host}", "{port}", "{transport}", *ACCOUNT)
JUICE = ("node", f"{CACHE}/libjuice.cjs", "{host}", "{port}", *ACCOUNT, "{count}")
WERIFT = ("node", f"{CACHE}/werift.mjs", "{url}", *ACCOUNT, "{count}")
PION = (f"{CACHE}/pion-{{transport}}", "-host", "{host}", "-port", "{port}", "-realm", "call", "-ping")
PYSTUN = (f"{BIN}/pystun3", "-H", "{host}", "-P", "{port}", "-i", "{host}", "-p", "0")
MOCHA = f"{CACHE}/node_modules/mocha/bin/mocha.js"
SUITE = f"{CACHE}/node_modules/turn-js/test/turn_client.unit.js"
TURN_JS = tuple(f"TURN_{key}" for key in ("ADDR={host}", "PORT={port}", "USER={name}", "PASS={credential}"))

LIBRARIES = (
    pair("aioice", ALL, *ICE),
    pair("aioice", IPV4, *ICE, what=NEW, kind=EVERY),
    pair("aiortc", IPV4, *RTC, what="relay-only call, voice and words", heavy=True),
    pair("aiortc", IPV4, *RTC, what="the same, encrypted packets only", kind=GATE, heavy=True),
    Row("pystun3", "classic STUN (RFC 3489)", PYSTUN, fine("UDP"), "NAT Type: Open Internet", kind=EVERY),
    Row(
        "pion",
        "its example: ten pings",
        (*PION, "-user", "{user}={password}"),
        fine("UDP", "TCP"),
        r"(?s)(bytes from.*){10}",
    ),
    pair("libnice", fine("UDP", "UDP, v6", "TCP", "TCP, v6"), *NICE),
    pair("libnice", fine("UDP", "TCP"), *NICE, what=NEW, kind=EVERY),
    pair("libjuice", fine("UDP"), *JUICE),
    pair("libjuice", fine("UDP"), *JUICE, what=NEW, kind=EVERY),
    pair("werift", fine("UDP", "UDP, v6", "TCP", "TCP, v6"), *WERIFT),
    pair("werift", fine("UDP", "TCP"), *WERIFT, what="encrypted packets only", kind=GATE),
    Row(
        "turn-js",
        "its own tests",
        ("env", *TURN_JS, "node", MOCHA, "--exit", "--grep", "{TRANSPORT} socket", SUITE),
        fine("UDP", "TCP"),
        r"\b[36] passing",
    ),
)

BROWSERS = (
    browsers("Chromium", "Chromium", ALL),
    browsers("Chromium", "Chromium", IPV4, what=NEW, kind=EVERY),
    browsers("Firefox", "Firefox", fine("UDP", "UDP, v6", "TCP", "TCP, v6", "TLS")),
    browsers("Firefox", "Firefox", IPV4, what=NEW, kind=EVERY),
    browsers("Chromium", "Firefox", IPV4),
    browsers("Chromium", "Firefox", IPV4, what="encrypted packets only", kind=GATE),
)
ROWS = (*TURNUTILS, *LIBRARIES, *BROWSERS)
