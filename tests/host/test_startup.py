"""Open files, and addresses that can be listened at or not."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
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
    refuse_root,
)

ROOT = Path(__file__).parents[2]


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


CRASH = """
import os, resource
from host.startup import forbid_core_dumps
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
if FORBIDDEN:
    forbid_core_dumps()
content = open("/proc/self/coredump_filter").read().strip()
print(*resource.getrlimit(resource.RLIMIT_CORE), content, flush=True)
os.abort()
"""


def crashed(folder: Path, *, forbidden: bool) -> tuple[list[str], bool]:
    """What a process says of its limits, and whether its crash wrote its memory."""
    program = CRASH.replace("FORBIDDEN", str(forbidden))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert done.returncode == -signal.SIGABRT
    return done.stdout.decode().split(), any(folder.iterdir())


def test_a_crash_writes_no_memory_to_a_disk(tmp_path: Path) -> None:
    assert crashed(tmp_path, forbidden=True) == (["0", "0", "00000000"], False)


def test_without_that_it_would(tmp_path: Path) -> None:
    """The crash of the test above is one that dumps, where the machine dumps into the working folder."""
    limits, dumped = crashed(tmp_path, forbidden=False)
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    assert limits[2] != "00000000"
    if limits[0] != "0" and not pattern.startswith(("|", "/")):
        assert dumped


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


def test_what_is_accepted_sends_without_delay() -> None:
    with bind_tcp("127.0.0.1", 0, "a.key") as bound:
        bound.listen()
        with socket.create_connection(bound.getsockname()), bound.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("number", [*TROUBLES, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EMFILE])
def test_a_disk_in_trouble_is_not_a_wrong_path(number: int, tmp_path: Path) -> None:
    says = r"no; point site\.state_dir elsewhere"
    with pytest.raises(Unavailable, match=says) as problem, in_state_dir(tmp_path):
        raise OSError(number, "no")
    assert isinstance(problem.value, StateUnavailable) is (number in TROUBLES)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be in the wrong place")
def test_root_leaves_nothing_in_a_folder_of_another_account(tmp_path: Path) -> None:
    refuse_root(tmp_path)
    refuse_root(tmp_path / "none yet")
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(Unavailable, match=r"belongs to the account 12345, .* systemctl start calln"):
        refuse_root(tmp_path)
    os.chown(tmp_path, 0, 0)
