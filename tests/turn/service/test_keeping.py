"""A relay that goes on with the calls of the one before, or one as any other where that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from host.memory_folder import GIVEN
from tests.turn.network import LISTENER, settings
from tests.turn.service.kept import allocation
from turn.flows import Address
from turn.service.keeper import FORGETFUL, Keeper
from turn.service.keeping import Keeping, forget_dead, kept_relay, pool_before
from turn.service.relayed_ports import Owner, this_process

ME = Keeping(this_process())
DEAD = Keeping(Owner(1 << 30, 5))
ALICE = allocation(listener=LISTENER, relay=Address.of("192.0.2.1", 50000))


def test_the_key_of_nonces_is_that_of_the_process_before(tmp_path: Path) -> None:
    relay, first = kept_relay(settings(nonce_key=b"1" * 32), tmp_path, DEAD)
    assert isinstance(first, Keeper)
    first.close()
    relay, second = kept_relay(settings(nonce_key=b"2" * 32), tmp_path, ME)
    assert relay._state.settings.nonce_key == b"1" * 32
    second.forget()
    second.close()
    relay, third = kept_relay(settings(nonce_key=b"3" * 32), tmp_path, ME)
    assert relay._state.settings.nonce_key == b"3" * 32
    third.forget()
    third.close()


def test_another_folder_has_other_calls(tmp_path: Path) -> None:
    _, first = kept_relay(settings(), tmp_path / "a", DEAD)
    assert isinstance(first, Keeper)
    first.file.save([(ALICE.relay, ALICE)])
    first.close()
    found = []
    for name in ("b", "a"):
        _, keeper = kept_relay(settings(), tmp_path / name, ME)
        assert isinstance(keeper, Keeper)
        found.append(keeper.inheritance.allocations())
        keeper.forget()
        keeper.close()
    assert found == [[], [ALICE]]


@pytest.mark.parametrize("change", ["mode", "gone"])
def test_without_a_folder_calls_end_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    folder = tmp_path / "f"
    if change == "mode":
        folder.mkdir()
        folder.chmod(0o755)
    monkeypatch.setenv(GIVEN, str(folder if change == "mode" else folder / "not there"))
    _, keeper = kept_relay(settings(), tmp_path, ME)
    assert keeper is FORGETFUL
    [line] = caplog.messages
    assert line.startswith("calls end with this process: ")


def test_without_a_descriptor_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(*_: object, **__: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", none_left)
    _, keeper = kept_relay(settings(), tmp_path, ME)
    assert keeper is FORGETFUL
    assert "EMFILE" in caplog.text


def test_workers_have_the_key_of_those_before_and_hear_whether_they_were_as_many(tmp_path: Path) -> None:
    assert pool_before(tmp_path, 2) == (None, True)
    for worker in range(2):
        kept_relay(settings(), tmp_path, Keeping(DEAD.keeper, worker, 2, b"p" * 32))[1].close()
    assert pool_before(tmp_path, 2) == (b"p" * 32, True)
    assert pool_before(tmp_path, 3) == (b"p" * 32, False)
    relay, keeper = kept_relay(settings(), tmp_path, Keeping(ME.keeper, 0, 2, b"q" * 32))
    assert relay._state.settings.nonce_key == b"q" * 32
    keeper.close()
    forget_dead(tmp_path)
    assert pool_before(tmp_path, 2) == (None, True)
