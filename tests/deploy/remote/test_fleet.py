"""Many machines at once, each of which may fail."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import pytest

from config.deploy import Host, parse_destination
from config.file import Config, parse_config
from deploy.remote import fleet, ssh
from deploy.remote.orders import DeployError, Unreachable
from deploy.remote.ssh import Machine

ADDRESSES = ("a.example", "b.example", "local")
HOSTS = [Host.model_validate({"address": address}) for address in ADDRESSES]


def test_answers_come_in_the_order_of_the_machines() -> None:
    found, wrong = fleet.try_each(HOSTS, lambda host: host.address.address)
    assert (list(found.values()), wrong) == (list(ADDRESSES), [])


class Remote:
    """A machine that can be reached, or not."""

    def __init__(self, host: Host) -> None:
        if host.address.address in GONE:
            raise Unreachable(f"{host.address.address} is gone")
        self.host = host
        self.closed = False

    def close(self) -> None:
        self.closed = True


GONE: set[str] = set()
FILE = """
site: {url: 'https://a.example'}
deploy: {hosts: [{address: a.example, roles: server, key: k}, {address: b.example, roles: turn}]}
"""


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Config:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(FILE)
    monkeypatch.setattr(ssh, "open_machine", lambda host, *, accept: Remote(host))
    GONE.clear()
    return parse_config(FILE, Path("config.yaml"))


def asked(**more: object) -> argparse.Namespace:
    return argparse.Namespace(config=None, accept_host_key=False, **more)


def test_one_dead_machine_does_not_stop_the_others(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    GONE.add("b.example")
    with fleet.connect_all(config, asked()) as machines:
        assert [one.host.address.address for one in machines.machines] == ["a.example"]
        assert capsys.readouterr().err == "calln: b.example is gone\n"
        assert list(machines.on_each(lambda _: 1).values()) == [1]
        assert (machines.code(), machines.code(well=False)) == (69, 69)
        (first,) = machines.machines
    assert cast("Remote", first).closed


def test_a_machine_that_fails_on_the_way_is_left_out(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(machine: Machine) -> str:
        if machine.host.address.address == "a.example":
            raise DeployError("the disk is full")
        return "done"

    with fleet.connect_all(config, asked()) as machines:
        assert machines.code() == 0
        assert list(machines.on_each(work).values()) == ["done"]
        assert [one.host.address.address for one in machines.machines] == ["b.example"]
        assert (len(machines), machines.code()) == (2, 69)
    assert capsys.readouterr().err == "calln: the disk is full\n"


def test_all_are_dead_or_all_are_needed(config: Config) -> None:
    GONE.add("b.example")
    with (
        pytest.raises(DeployError, match=r"^b\.example is gone$"),
        fleet.connect_all(config, asked(), needs_all=True),
    ):
        pass
    GONE.add("a.example")
    with (
        pytest.raises(DeployError, match=r"a\.example is gone\nb\.example is gone"),
        fleet.connect_all(config, asked()),
    ):
        pass


def test_what_is_not_well_is_another_exit_code(config: Config) -> None:
    with fleet.connect_all(config, asked()) as machines:
        assert (machines.code(), machines.code(well=False)) == (0, 1)


def test_one_machine_is_named_whether_the_file_has_it_or_not(config: Config) -> None:
    listed, other = parse_destination("a.example"), parse_destination("me@gone.example:2222")
    assert [host.address.address for host in fleet.hosts_for(config, None)] == ["a.example", "b.example"]
    assert [host.key for host in fleet.hosts_for(config, listed)] == [Path("k")]
    others = fleet.hosts_for(config, other, listed=False)
    assert [str(host.address) for host in others] == ["me@gone.example:2222"]
    with pytest.raises(
        DeployError, match=r"not in deploy.hosts; there are: root@a\.example, root@b\.example"
    ):
        fleet.hosts_for(config, other)


def test_without_a_file_init_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeployError, match="calln deploy init"):
        fleet.config_or_default(Config(), argparse.Namespace(config=None))
    (tmp_path / "config.yaml").write_text("site: {name: Ours}\n")
    assert fleet.config_or_default(Config(), argparse.Namespace(config=None)).site.name == "Ours"


@pytest.mark.parametrize(
    ("line", "shown"), [("[a.example] Done.", "Done."), ("[@local]     indented", "    indented")]
)
def test_one_machine_needs_no_name_before_its_lines(line: str, shown: str) -> None:
    assert fleet.PREFIX.sub("", line) == shown
