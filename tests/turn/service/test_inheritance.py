"""What the dead left: taken once, by the right process, record by record."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.turn.service.kept import allocation
from turn.service import allocation_file, inheritance
from turn.service.allocation_file import HEAD, MAGIC, PAGE, AllocationFile, Head
from turn.service.inheritance import inherit
from turn.service.relayed_ports import Owner, this_process

DEAD, OTHER = Owner(1 << 30, 5), Owner(1, 0)
KEY = b"k" * 32
ROOT = Path(__file__).parents[3]
HOLDS = """
import sys, time
from pathlib import Path
from turn.service.allocation_file import AllocationFile, Head
from turn.service.relayed_ports import Owner
file = AllocationFile(Path(sys.argv[1]), "a", Head(b"o" * 32, Owner(1 << 30, 5), 0, 1, 9.0))
print("held", flush=True)
time.sleep(60)
"""


def left(folder: Path, *numbers: int, keeper: Owner = DEAD, worker: int = 0, born: float = 0.0) -> Path:
    """The file of a process that has died with these allocations."""
    file = AllocationFile(folder, "a", Head(KEY, keeper, worker, 1, born))
    file.save([(one.relay, one) for one in map(allocation, numbers)])
    file.close(remove=False)
    return file.path


def taken(folder: Path, worker: int = 0, workers: int = 1) -> list[int]:
    found = inherit(folder, "a", this_process(), worker, workers)
    ports = [kept.relay.port - 21000 for kept in found.allocations()]
    found.close(taken=True)
    return sorted(ports)


def test_they_are_taken_once_with_their_key(tmp_path: Path) -> None:
    left(tmp_path, 1, 2)
    found = inherit(tmp_path, "a", this_process())
    assert found.key == KEY
    assert {kept.relay: kept for kept in found.allocations()} == {
        one.relay: one for one in map(allocation, (1, 2))
    }
    assert inherit(tmp_path, "a", OTHER).allocations() == []  # another one takes them now
    found.close(taken=True)
    assert not list(tmp_path.iterdir())


def test_who_dies_before_they_are_safe_leaves_them(tmp_path: Path) -> None:
    left(tmp_path, 1)
    inherit(tmp_path, "a", this_process()).close(taken=False)
    assert taken(tmp_path) == [1]


def test_of_two_dead_processes_the_younger_says_what_is_so(tmp_path: Path) -> None:
    left(tmp_path, 1, 2, born=1.0)
    path = left(tmp_path, born=2.0)
    file = AllocationFile(tmp_path, "a", Head(b"y" * 32, DEAD, 0, 1, 3.0))
    file.save([(one.relay, one) for one in (allocation(2, ends=5.0), allocation(3))])
    file.close(remove=False)
    found = inherit(tmp_path, "a", this_process())
    assert path.exists()
    assert found.key == b"y" * 32
    assert sorted((kept.relay.port - 21000, kept.ends) for kept in found.allocations()) == [
        (1, 600.0),
        (2, 5.0),
        (3, 600.0),
    ]
    found.close(taken=True)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_nobody_takes_what_a_living_process_has(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inheritance, "ORPHAN_SECONDS", 0.1)
    assert inherit(tmp_path, "a", this_process()).key is None
    holder.kill()
    holder.wait()
    found = inherit(tmp_path, "a", this_process())
    assert found.key == b"o" * 32
    found.close(taken=True)


def test_an_orphan_is_waited_for(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    timer = threading.Timer(0.3, holder.kill)
    timer.start()
    found = inherit(tmp_path, "a", this_process())
    timer.join()
    assert found.key == b"o" * 32
    found.close(taken=True)


def test_a_dead_worker_is_replaced_by_its_own_pool_alone(tmp_path: Path) -> None:
    left(tmp_path, 1, keeper=this_process(), worker=1)
    assert inherit(tmp_path, "a", OTHER, 1, 2).key is None
    assert taken(tmp_path, 0, 2) == []
    assert taken(tmp_path, 1, 2) == [1]


def test_fewer_workers_take_what_more_had(tmp_path: Path) -> None:
    for worker in range(4):
        left(tmp_path, worker, worker=worker)
    assert [taken(tmp_path, worker, 2) for worker in range(2)] == [[0, 2], [1, 3]]


def overwritten(at: int, data: bytes) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    return spoil


def cut_to(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


SPOILT: dict[str, tuple[Callable[[Path], None], list[int], str]] = {
    "one record": (overwritten(PAGE + 40, b"xxxx"), [2], "1 allocations of the process before cannot be"),
    "its size": (overwritten(PAGE + 4, b"\xff\xff"), [2], "1 allocations of the process before cannot be"),
    "the number of pages": (overwritten(HEAD.size, b"\xff\xff\xff\xff"), [1, 2], ""),
    "a part of a page": (cut_to(2 * PAGE + 30), [1], "1 allocations of the process before cannot be"),
    "the layout": (overwritten(len(MAGIC) - 3, b"9"), [], "another version has written them"),
    "nothing in it": (cut_to(0), [], "another version has written them"),
    "half a head": (cut_to(30), [], "another version has written them"),
    "an earlier boot": (overwritten(len(MAGIC), bytes(16)), [], ""),
    "for others to read": (lambda path: path.chmod(0o640), [], "the file is not ours alone"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_spoilt_is_refused_and_said_and_the_rest_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    spoil, numbers, line = SPOILT[what]
    spoil(left(tmp_path, 1, 2))
    assert taken(tmp_path) == numbers
    assert [line in record.getMessage() for record in caplog.records] == [True] * bool(line)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.chown(left(tmp_path, 1), 65534, 65534)
    assert taken(tmp_path) == []
    assert "not ours alone" in caplog.text


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.1").symlink_to(left(tmp_path / "folder", 1))
    (tmp_path / "a.2").mkdir()
    os.mkfifo(tmp_path / "a.3")
    assert taken(tmp_path) == []


def test_another_version_that_lives_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(allocation_file, "MAGIC", b"calln allocs 9\0\0")
    file = AllocationFile(tmp_path, "a", Head(KEY, OTHER, 0, 1, 0.0))
    assert taken(tmp_path) == []
    assert file.path.exists()
    assert not caplog.records
    file.close(remove=True)
