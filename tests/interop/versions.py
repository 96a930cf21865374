"""Which versions of the foreign clients stood here in a run, in one sentence."""

from __future__ import annotations

import json
import subprocess
import textwrap
from importlib.metadata import version

from tests.interop.relay import ROOT

# What the sentence says -> the Debian package that has it.
DEBIAN = {
    "coturn's turnutils": "coturn",
    "pion/turn": "golang-github-pion-turn.v2-dev",
    "libnice": "libnice10",
    "GStreamer's webrtcbin": "gstreamer1.0-plugins-bad",
    "baresip": "baresip-core",
    "Linphone": "linphone-cli",
    "Janus": "janus",
    "Chromium": "chromium",
    "Firefox ESR": "firefox-esr",
}
PYTHON = ("aioice", "aiortc", "pystun3")
NODE = {"libjuice in node-datachannel": "node-datachannel", "werift": "werift", "turn-js": "turn-js"}
WIDTH = 118  # of a document's lines
PINNED = ROOT / "tests/interop/clients/package.json"


def sentence() -> str:
    pinned = json.loads(PINNED.read_text())["dependencies"]
    found = [
        *(f"{name} {debian(package)}" for name, package in DEBIAN.items()),
        *(f"{name} {version(name)}" for name in PYTHON),
        *(f"{name} {pinned[package]}" for name, package in NODE.items()),
    ]
    return textwrap.fill(f"The clients of the last run: {', '.join(found)}.", WIDTH)


def debian(package: str) -> str:
    """The upstream part of an installed package's version."""
    query = ["dpkg-query", "-W", "-f", "${Version}", package]
    told = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    return told.rpartition(":")[2].rpartition("-")[0].partition("+")[0]
