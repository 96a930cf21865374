"""The look at a machine: this one, and made-up tables of the kernel and the firewall."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from deploy.agent import facts

CHAINS = {
    "nftables": [
        {"metainfo": {"version": "1.0.6"}},
        {"chain": {"family": "inet", "table": "filter", "name": "input", "hook": "input", "policy": "drop"}},
        {
            "chain": {
                "family": "inet",
                "table": "filter",
                "name": "forward",
                "hook": "forward",
                "policy": "drop",
            }
        },
        {"chain": {"family": "ip", "table": "nat", "name": "INPUT", "hook": "input", "policy": "accept"}},
        {"chain": {"family": "inet", "table": "filter", "name": "ours"}},
    ]
}


def test_who_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as here, socket.socket(type=socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        found = {(one["protocol"], one["port"]): one["who"] for one in facts.port_holders()}
        own = facts.unit_or_program(os.getpid())
        assert found["tcp", here.getsockname()[1]] == own
        assert found["udp", there.getsockname()[1]] == own
        assert own


def test_chains_that_drop_what_comes_in() -> None:
    assert facts.dropping_chains(json.dumps(CHAINS)) == ["inet filter input"]
    assert facts.dropping_chains("") == []
    assert facts.dropping_chains("no JSON") == []


def test_text_is_told_of_what_everybody_may_read(tmp_path: Path) -> None:
    for name, mode in (("open", 0o644), ("closed", 0o640)):
        (tmp_path / name).write_text("text\n")
        (tmp_path / name).chmod(mode)
    names = [str(tmp_path / name) for name in ("open", "closed", "none")]
    found = dict(facts.file_facts(names))
    assert [found[name]["text"] for name in names[:2]] == ["text\n", None]
    assert found[names[0]]["sha256"] == found[names[1]]["sha256"]
    assert found[names[1]]["mode"] == 0o640
    assert names[2] not in found


def test_the_newest_release_comes_first(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", ".draft", "c")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (number, number))
    assert [path.name for path in facts.newest_first(tmp_path)] == ["c", "b", "a"]
    assert facts.newest_first(tmp_path / "none") == []


def test_system_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "os-release"
    monkeypatch.setattr(facts, "OS_RELEASE", place)
    assert facts.os_release() == {}
    place.write_text('# a comment\nID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n')
    assert facts.os_release()["VERSION_ID"] == "12"


def test_a_command_that_is_not_there_says_nothing() -> None:
    assert facts.output_of("no-such-command-at-all") == ""
    assert facts.output_of("false") == ""
    assert facts.output_of("echo", "x") == "x\n"
