"""Many machines at once, each of which may fail."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from config.deploy import Host, parse_destination
from config.file import Config, parse_config
from deploy.remote import fleet
from deploy.remote.orders import DeployError

ADDRESSES = ("a.example", "b.example", "local")
HOSTS = [Host.model_validate({"address": address}) for address in ADDRESSES]


def test_answers_come_in_the_order_of_the_machines() -> None:
    assert fleet.in_parallel(HOSTS, lambda host: host.address.address) == list(ADDRESSES)


def test_every_machine_is_tried_and_all_that_went_wrong_is_told() -> None:
    tried: list[str] = []

    def fail(host: Host) -> None:
        tried.append(host.address.address)
        if not host.is_local:
            raise DeployError(f"{host.address.address} is gone")

    with pytest.raises(DeployError, match=r"a\.example is gone\nb\.example is gone"):
        fleet.in_parallel(HOSTS, fail)
    assert sorted(tried) == sorted(ADDRESSES)


def test_one_machine_is_named_whether_the_file_has_it_or_not() -> None:
    config = parse_config(
        "site: {url: 'https://a.example'}\n"
        "deploy: {hosts: [{address: a.example, roles: server, key: k}, {address: b.example, roles: turn}]}",
        Path("c.yaml"),
    )
    listed, other = parse_destination("a.example"), parse_destination("me@gone.example:2222")
    assert [host.address.address for host in fleet.hosts_for(config, None)] == ["a.example", "b.example"]
    assert [host.key for host in fleet.hosts_for(config, listed)] == [Path("k")]
    assert [str(host.address) for host in fleet.hosts_for(config, other)] == ["me@gone.example:2222"]


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
