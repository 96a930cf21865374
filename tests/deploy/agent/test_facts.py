"""The look at a machine: this one, and made-up tables of the kernel and the firewall."""

from __future__ import annotations

import json
import os
import pwd
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


def test_files_of_another_account_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "STATE", tmp_path / "state")
    own = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(facts, "ACCOUNT", own)
    assert facts.foreign_files() == []
    (tmp_path / "state" / "inner").mkdir(parents=True)
    (tmp_path / "state" / "inner" / "gone").symlink_to("/nowhere")
    assert facts.foreign_files() == []
    other = next(one.pw_name for one in pwd.getpwall() if one.pw_uid != os.getuid())
    monkeypatch.setattr(facts, "ACCOUNT", other)
    names = ["", "/inner", "/inner/gone"]
    assert facts.foreign_files() == [f"{tmp_path}/state{name}" for name in names]
    monkeypatch.setattr(facts, "ACCOUNT", "no-such-account")
    assert facts.foreign_files() == []


def test_what_certbot_keeps_for_calln(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "RENEWAL", tmp_path / "calln.conf")
    monkeypatch.setattr(facts, "LIVE", tmp_path / "fullchain.pem")
    assert facts.lineage_facts() is None
    (tmp_path / "calln.conf").write_text("server = x\n")
    assert facts.lineage_facts() == {"settings": "server = x\n", "certificate": ""}
    (tmp_path / "fullchain.pem").write_text("pem")
    assert facts.lineage_facts() == {"settings": "server = x\n", "certificate": "pem"}


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("site:\n  url: https://a.example\n", "https://a.example"),
        ("site:\n  name: 'A: b'\n  links:\n    url: x\n  url: 'https://a.example'\n", "https://a.example"),
        ("turn:\n  url: x\nsite:\n  name: A\n", None),
    ],
)
def test_the_site_of_a_machine(
    text: str, site: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "CURRENT", tmp_path)
    assert facts.present_site() is None
    (tmp_path / "config.yaml").write_text(text)
    assert facts.present_site() == site
