"""The folder in memory: only ours, and never on a disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from host.memory_folder import GIVEN, SHARED_MEMORY, NotInMemory, file_system, memory_folder


@pytest.fixture
def shared() -> Iterator[Path]:
    with TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


def test_the_one_that_the_manager_gives(shared: Path) -> None:
    shared.chmod(0o700)
    assert memory_folder({GIVEN: f"{shared}:/run/another"}) == shared


def test_without_a_manager_one_of_this_account_that_nobody_else_can_read(shared: Path) -> None:
    folder = memory_folder({}, shared)
    assert folder == shared / f"calln-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert memory_folder({}, shared) == folder


def open_to_others(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def of_somebody_else(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)


def elsewhere(folder: Path) -> None:
    folder.symlink_to(folder.parent)


def a_file(folder: Path) -> None:
    folder.touch()


MADE_BY_OTHERS = [
    open_to_others,
    pytest.param(
        of_somebody_else,
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else"),
    ),
    elsewhere,
    a_file,
]


@pytest.mark.parametrize("make", MADE_BY_OTHERS)
def test_what_another_account_made_is_refused(shared: Path, make: Callable[[Path], None]) -> None:
    make(shared / f"calln-{os.geteuid()}")
    with pytest.raises(NotInMemory, match=r"others can write there|File exists"):
        memory_folder({}, shared)


def test_a_disk_is_refused(tmp_path: Path) -> None:
    if file_system(tmp_path.stat().st_dev) == "tmpfs":
        pytest.skip("this machine has its temporary files in memory")
    tmp_path.chmod(0o700)
    with pytest.raises(NotInMemory, match="on a disk"):
        memory_folder({GIVEN: str(tmp_path)})


def test_a_folder_that_cannot_be_made_is_refused(shared: Path) -> None:
    with pytest.raises(NotInMemory, match="No such file"):
        memory_folder({GIVEN: str(shared / "not" / "there")})


def test_the_kind_of_file_systems() -> None:
    assert file_system(Path("/proc").stat().st_dev) == "proc"
    assert file_system(SHARED_MEMORY.stat().st_dev) == "tmpfs"
    assert file_system(0) == ""
