"""The foreign clients, as data: the table that docs/clients.md shows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.interop.cases import ALL, COUNT, LONG, WAYS, Row, fine
from tests.interop.relay import BETWEEN_HOMES

CACHE = ".cache/interop"  # what `make interop` built or fetched; see the Makefile
BIN = Path(sys.executable).parent
UCLIENT, STUNCLIENT, NATDISCOVERY = "turnutils_uclient", "turnutils_stunclient", "turnutils_natdiscovery"
EVERY = "every option"
GATE = "encrypted only"
NEW = "SHA-256, RFC 5780, RFC 3489 on"  # at the relay
IPV4 = fine("UDP", "TCP", "TLS")
HEARD = r"heard {} through relay$"
NONE_LOST = r"Total lost packets 0 \("
SIZE = ("{count}", "{pause}")
CALL = 120  # seconds of a call between telephones
ENCRYPTED = "encrypted packets only"
FOR_LONG = f"{LONG} seconds"
ACCOUNT = ("{name}", "{credential}")
ALICE, REST = ("-u", "{user}", "-w", "{password}"), ("-u", "bob", "-W", "{secret}")


def uclient(what: str, *flags: str, account: tuple[str, ...] = ALICE, **more: Any) -> Row:
    size = ("-n", "{count}", "-m", "2", "-l", "170", "-e", "{host}", "-r", "{peer}", "-p", "{port}")
    command = (UCLIENT, *account, *flags, "FLAGS", *size, "{host}")
    return Row(UCLIENT, what, command, **{"cells": ALL, "proof": NONE_LOST, **more})


def between_homes(client: str, what: str, seconds: int, module: str = "", **more: Any) -> Row:
    """A client that does not use loopback."""
    inside = ("ip", "netns", "exec", "{relay_home}")
    words = ("{one_home}", "{other_home}", "{port}", *ACCOUNT, "{count}")
    command = (*inside, sys.executable, "-m", f"tests.interop.clients.{module or client.lower()}", *words)
    return long(client, fine("UDP"), *command, what=what, kind=BETWEEN_HOMES, seconds=seconds, **more)


def refused(outcome: str, *ways: str) -> Mapping[str, str]:
    return dict.fromkeys(ways or WAYS, outcome)


def python(module: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"tests.interop.clients.{module}", *words, *SIZE)


def pair(
    client: str, cells: Mapping[str, str], *command: str, what: str = "relay-only pair", **more: Any
) -> Row:
    return Row(client, what, command, cells, HEARD.format(more.get("seconds", COUNT)), **more)


def long(client: str, cells: Mapping[str, str], *command: str, **more: Any) -> Row:
    return pair(client, cells, *command, **{"what": FOR_LONG, "seconds": LONG, **more})


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
JUICE = ("node", f"{CACHE}/libjuice.cjs", "{host}", "{port}", *ACCOUNT, *SIZE)
WERIFT = ("node", f"{CACHE}/werift.mjs", "{url}", *ACCOUNT, *SIZE)
PION = (f"{CACHE}/pion-{{transport}}", "-host", "{host}", "-port", "{port}", "-realm", "call", "-ping")
WEBRTCBIN = (
    *("/usr/bin/python3", "-m", "tests.interop.clients.webrtcbin"),
    *("{host}", "{port}", "{transport}", *ACCOUNT, "{count}"),
)
PEERS = (f"{CACHE}/pion-peers", "{host}", "{port}", "{transport}", *ACCOUNT, *SIZE)
PYSTUN = (f"{BIN}/pystun3", "-H", "{host}", "-P", "{port}", "-i", "{host}", "-p", "0")
MOCHA = f"{CACHE}/node_modules/mocha/bin/mocha.js"
SUITE = f"{CACHE}/node_modules/turn-js/test/turn_client.unit.js"
TURN_JS = tuple(f"TURN_{key}" for key in ("ADDR={host}", "PORT={port}", "USER={name}", "PASS={credential}"))

LIBRARIES = (
    pair("aioice", ALL, *ICE),
    pair("aioice", IPV4, *ICE, what=NEW, kind=EVERY),
    pair("aiortc", IPV4, *RTC, what="relay-only call, voice and words", heavy=True),
    pair("aiortc", IPV4, *RTC, what=f"the same, {ENCRYPTED}", kind=GATE, heavy=True),
    Row("pystun3", "classic STUN (RFC 3489)", PYSTUN, fine("UDP"), "NAT Type: Open Internet", kind=EVERY),
    Row(
        "pion",
        "its example: ten pings",
        (*PION, "-user", "{user}={password}"),
        fine("UDP", "TCP"),
        r"(?s)(bytes from.*){10}",
    ),
    pair("pion", fine("UDP", "TCP"), *PEERS, what="twenty peers"),
    pair("libnice", fine("UDP", "UDP, v6", "TCP", "TCP, v6"), *NICE),
    pair("libnice", fine("UDP", "TCP"), *NICE, what=NEW, kind=EVERY),
    pair("libjuice", fine("UDP"), *JUICE),
    pair("libjuice", fine("UDP"), *JUICE, what=NEW, kind=EVERY),
    pair("werift", fine("UDP", "UDP, v6", "TCP", "TCP, v6"), *WERIFT),
    pair("werift", fine("UDP", "TCP"), *WERIFT, what=ENCRYPTED, kind=GATE),
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
    browsers("Chromium", "Firefox", IPV4, what=ENCRYPTED, kind=GATE),
)
EVERY_SECOND = ("-z", "1000")
LONG_ENCRYPTED: dict[str, Any] = {"kind": GATE, "what": f"{FOR_LONG}, {ENCRYPTED}"}
KEEPING = (
    browsers("Chromium", "Chromium", fine("UDP", "TLS"), seconds=LONG, **LONG_ENCRYPTED),
    browsers("Firefox", "Firefox", fine("UDP"), seconds=LONG, **LONG_ENCRYPTED),
    uclient(FOR_LONG, *EVERY_SECOND, cells=IPV4, seconds=LONG),
    uclient(f"{FOR_LONG}, indications", "-s", *EVERY_SECOND, cells=IPV4, seconds=LONG),
    uclient(f"{FOR_LONG}, to each other", "-y", *EVERY_SECOND, cells=IPV4, seconds=LONG),
    long("aioice", IPV4, *ICE),
    long("aiortc", fine("UDP"), *RTC, **LONG_ENCRYPTED),
    long("pion", fine("UDP", "TCP"), *PEERS, what=f"{FOR_LONG}, twenty peers"),
    long("libnice", fine("UDP", "TCP"), *NICE),
    long("webrtcbin", fine("UDP"), *WEBRTCBIN, **LONG_ENCRYPTED),
    long("libjuice", fine("UDP"), *JUICE, **LONG_ENCRYPTED),
    long("werift", fine("UDP", "TCP"), *WERIFT, **LONG_ENCRYPTED),
    between_homes("baresip", f"a call of {CALL} seconds, {ENCRYPTED}", CALL),
    between_homes("Linphone", f"a call of {CALL} seconds, {ENCRYPTED}", CALL),
    between_homes("Janus", f"by the lines of `calln relay uses`, {ENCRYPTED}", COUNT, "janus_relayed"),
    between_homes("Janus", f"ICE-lite peer of aiortc, {FOR_LONG}, {ENCRYPTED}", LONG),
)


def left_out(client: str, reason: str, what: str = FOR_LONG) -> Row:
    return Row(client, what, (), {}, "", reason)


NOTHING_KEPT = "it asks once, and has nothing to keep"
LEFT_OUT = (
    left_out("turnutils_stunclient", NOTHING_KEPT),
    left_out("turnutils_natdiscovery", NOTHING_KEPT),
    left_out("pystun3", NOTHING_KEPT),
    left_out("turn-js", "it renews nothing by itself"),
    left_out(
        "pjsua",
        "neither Debian 12 nor npm has it, PyPI only builds of strangers",
        f"a call of {CALL} seconds",
    ),
    left_out("libnice and webrtcbin", "their TURN knows no TLS", "TLS"),
)
ROWS = (*TURNUTILS, *LIBRARIES, *BROWSERS, *KEEPING)
