"""`calln setup`: what it asks, when it asks nothing, and what the package may have it do."""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path
from typing import Any

import pytest

from config.file import Config, load_config
from config.problems import ConfigError
from deploy.cli import setup
from deploy.remote.hosts import ConfigFile, targets
from deploy.remote.orders import DeployError

LOCAL = "site: {url: 'https://call.example.org'}\ndeploy: {hosts: local}\n"
ELSEWHERE = LOCAL.replace("local", "root@call.example.org")
SEVERAL = LOCAL.replace("local", "[{address: local}, {address: b.example, roles: turn}]")


class Asked:
    """What was done to the machine, and with which words."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, dict[str, Any]]] = []
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        for name in ("apply_plan", "remove_by"):
            monkeypatch.setattr(setup, name, self.noting(name))
        monkeypatch.setattr(setup, "is_installed", lambda package: True)

    def noting(self, name: str) -> Any:
        def note(config: Config | ConfigFile, options: argparse.Namespace) -> int:
            self.done.append((name, vars(options)))
            return 0

        return note

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.done]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "etc/deploy.yaml"


def written(file: Path, text: str) -> Path:
    file.parent.mkdir()
    file.write_text(text)
    return file


def words(file: Path, **more: bool) -> argparse.Namespace:
    return argparse.Namespace(config=file, **{"upgrade": False, "remove": False, "rename": False, **more})


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_six_answers_make_a_file_for_this_machine_and_it_is_applied(
    asked: Asked, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "call.example.org", "Ours", "internal", "", "nft", "203.0.113.5")
    assert setup.set_up(Config(), words(file)) == 0
    config = load_config(file)
    assert (config.site.url, config.site.name) == ("https://call.example.org", "Ours")
    assert (config.deploy.tls, config.deploy.firewall) == ("internal", "nft")
    assert [str(one.public) for one in config.turn.external_ip] == ["203.0.113.5"]
    assert [host.is_local for host in config.deploy.hosts] == [True]
    assert f"Saved: {file}" in capsys.readouterr().out
    assert asked.done == [
        ("apply_plan", {"config": file, "accept_host_key": False, "host": None, "rename": False})
    ]


def test_with_answers_it_asks_nothing(asked: Asked, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch)
    assert setup.set_up(Config(), words(written(file, LOCAL), rename=True)) == 0
    assert [(name, given["rename"]) for name, given in asked.done] == [("apply_plan", True)]


def test_nobody_to_answer_changes_nothing(asked: Asked, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "call.example.org")
    with pytest.raises(DeployError, match="no answer"):
        setup.set_up(Config(), words(file))
    assert not file.exists()
    assert asked.names == []


@pytest.mark.parametrize(("word", "does"), [("upgrade", "apply_plan"), ("remove", "remove_by")])
def test_the_package_goes_on_with_what_was_set_up_here_and_leaves_all_else(
    asked: Asked, file: Path, word: str, does: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert setup.set_up(Config(), words(file, **{word: True})) == 0
    written(file, ELSEWHERE)
    for text in (ELSEWHERE, SEVERAL):
        file.write_text(text)
        assert setup.set_up(Config(), words(file, **{word: True})) == 0
        assert "stays as it is" in capsys.readouterr().out
    assert asked.names == []
    file.write_text(LOCAL)
    assert setup.set_up(Config(), words(file, **{word: True})) == 0
    assert asked.names == [does]


def test_what_is_removed_keeps_its_data_and_is_not_asked_for(asked: Asked, file: Path) -> None:
    setup.set_up(Config(), words(written(file, LOCAL), remove=True))
    ((_, given),) = asked.done
    assert (given["yes"], given["purge"]) == (True, False)


BROKEN = {
    "an unknown key": LOCAL + "turn: {nonsense: 1}\n",
    "a list of hosts": LOCAL.replace("local", "[{address: local, rolls: turn}]"),
    "no address of the site": "deploy: {hosts: local}\n",
    "a bracket that stays open": LOCAL[:-2],
    "a tab": f"{LOCAL}\t",
    "no text": "\x00\udc80",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_mistake_in_the_file_does_not_keep_the_package_on_the_machine(
    asked: Asked, file: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(file, "")
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError):
        targets(load_config(file))
    assert setup.set_up(Config(), words(file, remove=True)) == 0
    assert asked.names == ["remove_by"]
    assert f"{file} cannot be used" in capsys.readouterr().out


@pytest.mark.parametrize("text", [ELSEWHERE, SEVERAL, "site: {name: Ours}\n", "- local\n", "deploy: local\n"])
def test_a_file_with_a_mistake_that_names_other_machines_is_not_of_this_one(
    asked: Asked, file: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = text.replace("deploy: {", "deploy: {unknown: 1, ")
    assert setup.set_up(Config(), words(written(file, newer), remove=True)) == 0
    assert asked.names == []
    assert "stays as it is" in capsys.readouterr().out


@pytest.mark.parametrize("text", [ELSEWHERE, SEVERAL])
def test_a_machine_of_somebody_else_is_not_taken(asked: Asked, file: Path, text: str) -> None:
    with pytest.raises(DeployError, match="write hosts: local"):
        setup.set_up(Config(), words(written(file, text)))
    assert asked.names == []


def test_what_apt_cannot_install_in_the_middle_of_its_work_is_named(
    asked: Asked, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "is_installed", lambda package: package != "certbot")
    written(file, LOCAL)
    with pytest.raises(DeployError, match="apt install certbot, and then: calln setup"):
        setup.set_up(Config(), words(file, upgrade=True))
    assert asked.names == []
    assert setup.set_up(Config(), words(file)) == 0  # then a step installs them


def test_only_root_may(asked: Asked, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DeployError, match="sudo calln setup"):
        setup.set_up(Config(), words(file))
