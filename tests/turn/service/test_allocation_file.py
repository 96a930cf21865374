"""The file of allocations: whole at any time, in memory, for nobody else to read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.service.kept import allocation
from turn.core.relay import KeptAllocation
from turn.service import allocation_file
from turn.service.allocation_file import PAGE, RECORD, AllocationFile, Head, name_of_files
from turn.service.allocation_record import BadRecord
from turn.service.inheritance import read_page
from turn.service.relayed_ports import this_process

HEAD = Head(b"k" * 32, this_process(), 0, 1, 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[AllocationFile]:
    made = AllocationFile(tmp_path, "a", HEAD)
    yield made
    made.close(remove=True)
    assert not list(tmp_path.iterdir())


def stands_in(file: AllocationFile) -> list[KeptAllocation]:
    """As the next process would read it."""
    found = [read_page(page_of(file, number)) for number in range(1, 10)]
    return [record[1] for record in found if record]


def page_of(file: AllocationFile, number: int) -> bytes:
    with file.path.open("rb") as there:
        there.seek(PAGE * number)
        return there.read(PAGE)


def test_only_we_can_read_it_and_it_has_holes(file: AllocationFile) -> None:
    about = file.path.stat()
    assert about.st_mode & 0o777 == 0o600
    assert about.st_blocks * 512 < 16 * PAGE < about.st_size


CHANGES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40)


@given(changes=CHANGES)
def test_what_was_saved_last_stands_there(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bool]]
) -> None:
    file = AllocationFile(tmp_path_factory.mktemp("f"), "a", HEAD)
    now: dict[int, KeptAllocation] = {}
    for time, (number, lives) in enumerate(changes):
        kept = allocation(number, ends=float(time))
        now.pop(number, None)
        if lives:
            now[number] = kept
        file.save([(kept.relay, kept if lives else None)])
        assert sorted(stands_in(file)) == sorted(now.values())
    assert file._used <= 7  # one more page than allocations at once
    file.close(remove=True)


def test_wherever_the_process_dies_the_old_or_the_new_stands_there(
    file: AllocationFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = allocation(ends=1.0), allocation(ends=2.0)
    file.save([(before.relay, before)])
    monkeypatch.setattr(file, "_free_page", lambda page: None)  # it dies before that
    file.save([(after.relay, after)])
    assert stands_in(file) == [before, after]
    whole = page_of(file, 2)
    for cut in range(1, len(whole.rstrip(b"\0"))):
        torn = whole[:cut] + bytes(PAGE - cut)
        assert RECORD.unpack_from(torn)[2] == 0 or not_whole(torn)


def test_nothing_of_a_call_that_has_ended_is_left(file: AllocationFile) -> None:
    long, short = allocation(username="canary" * 20), allocation()
    for changed in (long, short, None):
        file.save([(long.relay, changed)])
        pages = b"".join(page_of(file, number) for number in range(1, 4))
        assert (b"canary" in pages) == (changed is long)
    assert not any(pages)


def not_whole(page: bytes) -> bool:
    try:
        read_page(page)
    except BadRecord:
        return True
    return False


def test_what_has_no_room_is_said_and_the_others_are_kept(
    file: AllocationFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short = allocation(username="u" * 5000), allocation(1)
    with pytest.raises(BadRecord):
        file.save([(long.relay, long), (short.relay, short)])
    assert stands_in(file) == [short]
    monkeypatch.setattr(allocation_file, "PAGES", 1)
    with pytest.raises(OSError, match="all pages"):
        file.save([(one.relay, one) for one in map(allocation, range(2, 4))])


def test_without_memory_no_page_is_touched(file: AllocationFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    kept = allocation()
    with pytest.raises(OSError, match="No space"):
        file.save([(kept.relay, kept)])
    assert stands_in(file) == []


def test_without_a_folder_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AllocationFile(tmp_path / "none", "a", HEAD)


def test_each_state_folder_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_of_files(Path("s")) == name_of_files(tmp_path / "s")
    assert name_of_files(Path("s")) != name_of_files(Path("t"))
    assert "." not in name_of_files(Path("s"))
