"""Two machines: one with page and matching, one with the relay, deployed to by an account that has sudo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.async_api import async_playwright

from tests.deploy.end_to_end.admin import Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME, TURN_NAME
from tests.deploy.end_to_end.image import ADMIN
from tests.deploy.end_to_end.network import NETWORK
from tests.deploy.end_to_end.outside import Call, open_outside, shut_in
from tests.deploy.end_to_end.pebble import DIRECTORY, Pebble
from tests.deploy.end_to_end.target import Target, booted

NOBODY = f"{NETWORK}.99"
HEARS = "The relay hears from a server"
CONFIG: dict[str, Any] = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {
        "hosts": [
            {"address": f"root@{ADDRESSES[NAME]}", "roles": ["server"]},
            {"address": f"{ADMIN}@{ADDRESSES[TURN_NAME]}", "name": TURN_NAME, "roles": ["turn"]},
        ],
        "acme_directory": DIRECTORY,
    },
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def relay(target: Target, folder: Path, pebble: Pebble, key: Path) -> Iterator[Target]:
    two = Target(target.network, folder, "two", ADDRESSES[TURN_NAME])
    with booted(two, key, pebble.trust):
        yield two


@pytest.fixture(scope="module")
def targets(target: Target, relay: Target) -> list[Target]:
    return [target, relay]


RELAY = {"calln-relay", "calln-kernel"}  # the second is what loads the program of the first


def units(target: Target) -> set[str]:
    """What of ours serves there."""
    lines = target.run("systemctl list-units --plain --no-legend --state active 'calln-*@*'").splitlines()
    return {line.split("@")[0] for line in lines}


async def test_each_machine_gets_its_part(admin: Admin, target: Target, relay: Target) -> None:
    await admin.deploy("apply", named="first deploy of two machines")
    assert (units(target), units(relay)) == ({"calln-server"}, RELAY)
    assert changed(await admin.deploy("apply", named="apply that changes nothing on two machines")) == []


async def test_the_relay_hears_the_server(target: Target, relay: Target) -> None:
    """Over UDP, at the port where it listens anyway; the units leave it through."""
    for machine, words in ((target, f"The relay at {TURN_NAME} hears the server."), (relay, HEARS)):
        assert words in machine.ssh("calln doctor").stdout


async def test_strangers_talk_by_port_443_of_the_relay(
    admin: Admin, target: Target, pebble: Pebble, folder: Path
) -> None:
    shut_in(target.network)
    async with async_playwright() as playwright:
        browser = await open_outside(playwright, target.network, folder / "browser", pebble.root)
        call = await Call.open(browser, f"https://{NAME}/")
        assert await call.ways() == {"tls"}
        await admin.deploy("secrets", "rotate", named="secrets rotate on two machines")
        await call.goes_on()
        newer = await Call.open(browser, f"https://{NAME}/")
        await newer.close()
        await browser.close()


async def test_a_part_is_added_to_a_machine_and_taken_from_it_again(
    admin: Admin, target: Target, relay: Target
) -> None:
    before = admin.file.read_text()
    wanted = yaml.safe_load(before)
    wanted["deploy"]["hosts"][0]["roles"].append("turn")
    admin.file.write_text(yaml.safe_dump(wanted))
    await admin.deploy("apply", named="a second relay, beside the server")
    assert (units(target), units(relay)) == ({"calln-server", *RELAY}, RELAY)
    told = target.run("cat /opt/calln/current/config.yaml")
    assert yaml.safe_load(told)["turn"]["more_hosts"] == [TURN_NAME]
    admin.file.write_text(before)
    assert "End the relay, which the file no longer has on this machine" in await admin.deploy("plan")
    await admin.deploy("apply", named="the second relay taken away again")
    assert (units(target), units(relay)) == ({"calln-server"}, RELAY)
    assert "calln-relay" not in target.run("ls /etc/systemd/system/*.wants")
    assert changed(await admin.deploy("apply", named="apply that changes nothing, afterwards")) == []


async def test_a_machine_that_is_not_listed_is_taken_off_by_its_name(
    admin: Admin, target: Target, relay: Target
) -> None:
    wanted = yaml.safe_load(admin.file.read_text())
    address = wanted["deploy"]["hosts"].pop()["address"]
    wanted["deploy"]["hosts"][0]["roles"].append("turn")
    admin.file.write_text(yaml.safe_dump(wanted))
    await admin.deploy("destroy", "--host", address, "--yes", named="destroy of a machine not listed")
    assert units(relay) == set()
    assert relay.ask("ls /opt") == ""
    assert units(target) == {"calln-server"}
    await admin.deploy("apply", named="the one that is left takes both parts")
    assert units(target) == {"calln-server", *RELAY}


async def test_a_server_leaves_port_443_to_the_relay_that_takes_its_place(
    admin: Admin, target: Target, relay: Target
) -> None:
    wanted = yaml.safe_load(admin.file.read_text())
    second = CONFIG["deploy"]["hosts"][1]["address"]
    wanted["deploy"]["hosts"] = [
        {**wanted["deploy"]["hosts"][0], "roles": ["turn"], "name": TURN_NAME},
        {"address": second, "roles": ["server"]},
    ]
    wanted["deploy"]["tls"] = "internal"
    admin.file.write_text(yaml.safe_dump(wanted))
    await admin.deploy("apply", named="server and relay change places")
    assert (units(target), units(relay)) == (RELAY, {"calln-server"})
    assert "calln-relay" in await admin.deploy("status")
    assert target.run("ss -Hltn 'sport = :443'") != ""
    assert changed(await admin.deploy("apply", named="apply that changes nothing, when they have")) == []


async def test_a_machine_that_is_gone_does_not_stop_the_others(
    admin: Admin, target: Target, relay: Target
) -> None:
    before = admin.file.read_text()
    wanted = yaml.safe_load(before)
    wanted["deploy"]["hosts"].append(
        {"address": f"root@{NOBODY}", "name": "gone.example.test", "roles": ["turn"]}
    )
    admin.file.write_text(yaml.safe_dump(wanted))
    said = await admin.fails("status", named="status with a machine that is gone")
    assert f"root@{NOBODY}: SSH does not answer" in said
    assert said.count("running, ready") == 2
    assert "Not done on 1 of 3 machines" in await admin.fails(
        "apply", named="apply with a machine that is gone"
    )
    told = yaml.safe_load(relay.run("cat /opt/calln/current/config.yaml"))
    assert (told["turn"]["host"], told["turn"]["more_hosts"]) == (TURN_NAME, ["gone.example.test"])
    assert "SSH does not answer" in await admin.fails("secrets", "rotate", named="rotate, which needs all")
    second = wanted["deploy"]["hosts"][1]["address"]
    said = await admin.deploy("status", "--host", second, named="status of one machine")
    assert "calln-server" in said
    admin.file.write_text(before)
    await admin.deploy("apply", named="apply to those that are left")


async def test_a_second_site_is_refused(admin: Admin, target: Target) -> None:
    before = admin.file.read_text()
    admin.file.write_text(before.replace(f"https://{NAME}", "https://other.example.test"))
    said = await admin.fails("apply", named="apply of a second site")
    admin.file.write_text(before)
    assert f"This machine serves https://{NAME} already" in said
    await admin.deploy("apply", named="apply of the first site")
