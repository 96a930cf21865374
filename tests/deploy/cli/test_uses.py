"""The lines for other people's services: in the form that each reads, and real ones hand out our relay."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from config.file import load_config, parse_config
from config.problems import ConfigError
from deploy.cli.main import main
from deploy.cli.uses import LONGEST, SERVICES, lines_for
from tests.deploy.cli.xmpp import MAKERS, PATIENCE, connect, running
from tests.turn.engines.certificates import certificate
from tests.turn.process.relay_process import Elsewhere, elsewhere
from tests.turn.service.caller import Caller

SECRET, PASSWORD = 'a "secret" of thirty-two letters', "password of the service"
STUN, UDP, TCP, TLS = (
    "call.example.org:3478",
    "turn:call.example.org:3478?transport=udp",
    "turn:call.example.org:3478?transport=tcp",
    "turns:call.example.org:5349?transport=tcp",
)


@pytest.fixture
async def with_secret(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Elsewhere]:
    async with elsewhere(tmp_path_factory.mktemp("relay"), secret="0123456789abcdef" * 2) as relay:
        yield relay


def lines(name: str, **keys: object) -> str:
    shown = certificate()
    turn = {
        "secret": SECRET,
        "listen": ["udp://0.0.0.0:3478", "tcp://0.0.0.0:3478", "tls://0.0.0.0:5349"],
        "certificate": str(shown.chain),
        "key": str(shown.key),
        "users": {one: PASSWORD for one, service in SERVICES.items() if not service.mints},
        **keys,
    }
    written = json.dumps({"site": {"url": "https://call.example.org"}, "turn": turn})
    return lines_for(parse_config(written, Path("c")), name)


def test_nextcloud_gets_commands_for_a_shell() -> None:
    commands = [shlex.split(line) for line in lines("nextcloud").splitlines() if not line.startswith("#")]
    secret = f"--secret={SECRET}"
    assert commands == [
        ["php", "occ", "talk:stun:add", STUN],
        ["php", "occ", "talk:turn:add", secret, "turn", STUN, "udp,tcp"],
        ["php", "occ", "talk:turn:add", secret, "turns", "call.example.org:5349", "tcp"],
    ]


def test_synapse_gets_urls() -> None:
    assert yaml.safe_load(lines("synapse")) == {
        "turn_uris": [UDP, TCP, TLS],
        "turn_shared_secret": SECRET,
        "turn_user_lifetime": "86400s",
        "turn_allow_guests": False,
    }


def test_livekit_gets_a_user_and_each_way() -> None:
    servers = yaml.safe_load(lines("livekit"))["rtc"]["turn_servers"]
    assert [(one["port"], one["protocol"]) for one in servers] == [
        (3478, "udp"),
        (3478, "tcp"),
        (5349, "tls"),
    ]
    assert {(one["host"], one["username"], one["credential"]) for one in servers} == {
        ("call.example.org", "livekit", PASSWORD)
    }


@pytest.mark.parametrize("name", ["janus", "asterisk"])
def test_what_takes_one_relay_gets_the_fastest_way(name: str) -> None:
    said = lines(name)
    assert PASSWORD in said
    assert "call.example.org" in said
    assert "3478" in said
    assert "5349" not in said


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if not service.mints])
def test_a_service_without_secrets_needs_a_user(name: str) -> None:
    with pytest.raises(ConfigError, match=f"write: users: {{{name}: PASSWORD}}"):
        lines(name, users={})


@pytest.mark.parametrize("name", SERVICES)
def test_no_line_is_empty_and_the_secret_is_for_those_who_mint(name: str) -> None:
    said = lines(name)
    assert all(line.strip() for line in said.splitlines())
    inner = SECRET.replace('"', '\\"')
    assert (SECRET in said or inner in said) is SERVICES[name].mints


@pytest.mark.parametrize("name", MAKERS)
async def test_a_real_server_hands_out_credentials_that_the_relay_takes(
    name: str, with_secret: Elsewhere
) -> None:
    relay = with_secret
    async with running(name, lines_for(load_config(relay.file), name)) as port:
        async with asyncio.timeout(PATIENCE):
            client = await connect(port)
            await client.log_in()
            services = await client.services()
            await client.close()
    place = {"host": relay.listener.host, "port": str(relay.listener.port), "transport": "udp"}
    stun, turn = sorted(services, key=lambda one: one["type"])
    assert (stun.pop("type"), turn["type"]) == ("stun", "turn")
    assert place.items() <= stun.items()
    assert place.items() <= turn.items()
    assert "password" not in stun
    caller = Caller(relay, turn["username"], turn["password"])
    assert (await caller.allocate()).port


async def test_a_credential_for_a_trial_opens_the_relay(
    with_secret: Elsewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    relay = with_secret
    words = ["relay", "credentials", "--user", "trial", "--config", str(relay.file)]
    assert await asyncio.to_thread(main, words) == 0
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said["username"].endswith(":trial")
    assert said["url"] == f"turn:{relay.listener.host}:{relay.listener.port}?transport=udp"
    assert (await Caller(relay, said["username"], said["password"]).allocate()).port


@pytest.mark.parametrize("seconds", [0, -1, LONGEST + 1])
def test_a_credential_is_valid_for_a_month_at_most(
    seconds: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps({"turn": {"secret": SECRET}}))
    words = ["relay", "credentials", "--seconds", str(seconds), "--config", str(tmp_path / "c.yaml")]
    assert main(words) == 2
    assert str(LONGEST) in capsys.readouterr().err
