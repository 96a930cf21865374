"""Open files, and addresses that can be listened at or not."""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.startup import (
    TROUBLES,
    StateUnavailable,
    Unavailable,
    bind_tcp,
    in_state_dir,
    raise_descriptor_limit,
)


@pytest.fixture
def own_limit() -> Iterator[int]:
    """The soft limit is lower within; how many files the machine grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_all_files_that_the_machine_grants(own_limit: int) -> None:
    allowed = raise_descriptor_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (own_limit, own_limit)
    assert allowed == (None if own_limit == resource.RLIM_INFINITY else own_limit)


def test_a_machine_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = (512, resource.RLIM_INFINITY)
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: unlimited)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert raise_descriptor_limit() is None
    assert asked == [(resource.RLIM_INFINITY, resource.RLIM_INFINITY)]


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", r"127\.0\.0\.1"), ("::1", r"\[::1\]")])
def test_a_port_that_is_taken_is_one_sentence(host: str, shown: str) -> None:
    with bind_tcp(host, 0, "a.key") as taken:
        taken.listen()
        says = rf"^{shown}:\d+: Address already in use; write another address in a\.key$"
        with pytest.raises(Unavailable, match=says):
            bind_tcp(host, taken.getsockname()[1], "a.key")


def test_two_processes_share_a_port_if_both_say_so() -> None:
    share = (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with bind_tcp("127.0.0.1", 0, "a.key", [share]) as one:
        one.listen()
        with bind_tcp("127.0.0.1", one.getsockname()[1], "a.key", [share]) as other:
            assert other.getsockname() == one.getsockname()


@pytest.mark.parametrize("number", [*TROUBLES, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EMFILE])
def test_a_disk_in_trouble_is_not_a_wrong_path(number: int, tmp_path: Path) -> None:
    says = r"no; point site\.state_dir elsewhere"
    with pytest.raises(Unavailable, match=says) as problem, in_state_dir(tmp_path):
        raise OSError(number, "no")
    assert isinstance(problem.value, StateUnavailable) is (number in TROUBLES)
