"""Which ports are open in one process, the others know as long as it lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from turn.flows import Address
from turn.service import relayed_ports
from turn.service.relayed_ports import BYTES, FILE, PLACES, SLOTS, RelayedPorts, start_time

ROOT = Path(__file__).parents[3]
FOUR, SIX = Address.of("192.0.2.1", 50000), Address.of("2001:db8::1", 50000)
PROGRAM = """
import sys, time
from pathlib import Path
from turn.flows import Address
from turn.service.relayed_ports import RelayedPorts
here = RelayedPorts(Path(sys.argv[1]))
here.mark_open(Address.of("192.0.2.1", 50007))
print("open", flush=True)
time.sleep(60)
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RelayedPorts, RelayedPorts]]:
    one, two = RelayedPorts(tmp_path), RelayedPorts(tmp_path)
    yield one, two
    two.close()
    one.close()


@pytest.mark.parametrize("relay", [FOUR, SIX, FOUR._replace(port=0), SIX._replace(port=65535)])
def test_what_another_opens_and_closes(pair: tuple[RelayedPorts, RelayedPorts], relay: Address) -> None:
    one, two = pair
    assert relay not in two
    one.mark_open(relay)
    assert relay in two
    assert relay not in one  # of its own, a process knows more
    others = [relay._replace(port=relay.port ^ 1), (SIX if relay.ip == FOUR.ip else FOUR)]
    assert not any(other in two for other in others)
    two.mark_closed(relay)
    assert relay in two
    one.mark_closed(relay)
    assert relay not in two


def test_who_leaves_leaves_nothing(tmp_path: Path, pair: tuple[RelayedPorts, RelayedPorts]) -> None:
    third = RelayedPorts(tmp_path)
    for relay in (FOUR, SIX):
        third.mark_open(relay)
        pair[0].mark_open(relay._replace(port=1))
    third.close()
    assert [relay in pair[1] for relay in (FOUR, SIX)] == [False, False]
    assert all(relay._replace(port=1) in pair[1] for relay in (FOUR, SIX))
    again = RelayedPorts(tmp_path)
    assert again.slot == third.slot
    again.close()


def test_what_the_dead_held_is_wiped_out(tmp_path: Path, pair: tuple[RelayedPorts, RelayedPorts]) -> None:
    relay = Address.of("192.0.2.1", 50007)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"open\n"
        pair[1].free_dead()
        assert relay in pair[0]
        other.send_signal(signal.SIGKILL)
    pair[1].free_dead()
    assert relay not in pair[0]


def test_a_place_is_given_on_when_nothing_lives_there(pair: tuple[RelayedPorts, RelayedPorts]) -> None:
    one, two = pair
    places = [Address(bytes([10, 0, 0, number]), 50000) for number in range(PLACES + 1)]
    for place in places:
        one.mark_open(place)
    assert [place in two for place in places] == [True] * PLACES + [False]
    one.mark_closed(places[3])
    one.mark_open(places[-1])
    assert places[-1] in two
    assert places[3] not in two
    one.mark_closed(places[3])  # free by now
    assert places[-1] in two


def test_a_name_within_others_is_no_name(pair: tuple[RelayedPorts, RelayedPorts]) -> None:
    one, two = pair
    one.mark_open(SIX._replace(ip=b"\x04" + FOUR.ip + bytes(11)))
    one.mark_open(SIX)
    assert FOUR not in two
    one.mark_open(FOUR)
    assert FOUR in two


def test_more_processes_than_slots_only_stay_unheard_of(tmp_path: Path) -> None:
    crowd = [RelayedPorts(tmp_path) for _ in range(SLOTS + 1)]
    assert [one.slot for one in crowd] == [*range(1, SLOTS + 1), 0]
    crowd[-1].mark_open(FOUR)
    crowd[-1].mark_closed(FOUR)
    assert FOUR not in crowd[0]
    for one in crowd:
        one.close()


@pytest.mark.parametrize("content", [b"x", b"calln relayed 1\0" + bytes(16), bytes(relayed_ports.SIZE)])
def test_a_file_of_another_boot_or_kind_gives_way(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    one, two = RelayedPorts(tmp_path), RelayedPorts(tmp_path, claim=False)
    one.mark_open(FOUR)
    assert FOUR in two
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert two.slot == 0
    one.close()
    two.close()


def test_the_file_has_holes(tmp_path: Path, pair: tuple[RelayedPorts, RelayedPorts]) -> None:
    pair[0].mark_open(FOUR)
    pair[1].free_dead()
    assert (tmp_path / FILE).stat().st_blocks * 512 <= 4 * BYTES + (256 << 10)


def test_when_a_process_started() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    mine = start_time(os.getpid())
    assert mine is not None
    assert 0 < mine / ticks <= time.clock_gettime(time.CLOCK_BOOTTIME) + 1
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert start_time(ended.pid) is None


def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"ot a directory|xists"):
        RelayedPorts(tmp_path / "file")
