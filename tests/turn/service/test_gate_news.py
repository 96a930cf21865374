"""What one process sends, the others receive, and later processes read it from the file."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from turn.core.relay import Known, RelayNews
from turn.gate.sessions import Offered, Proven
from turn.service.gate_news import AT_ONCE, VALID_SECONDS, GateNews
from turn.wire.hello import ClientHello
from turn.wire.notices import NetworkBanned, Notification, PairVouched, UserEnded

PROVEN = [
    Proven("alice", (b"ours", b"theirs"), unified=True, srtp=True, ssrcs=(1, (1 << 32) - 1)),
    Proven("c.visitor \N{SNOWMAN} \ud800", (b'\xff\0"', b"\n"), unified=False, srtp=False),
]
NOTICES = (
    PairVouched(100, ("one", "\N{SNOWMAN}"), (b'\xff\0"', b"\n")),
    UserEnded(600, "one"),
    NetworkBanned(600, b"key\xff", 4, 24, b"twelve bytes"),
)
NEWS: list[RelayNews] = [
    *PROVEN,
    Offered("alice", (b"ours", b"theirs"), 1, ClientHello(frozenset((0x1301, 0xC02B)), frozenset((1, 7)))),
    Offered("\ud800", (b"\xff", b""), 0, ClientHello(frozenset(), None)),
    Notification(b"\0\xff server"[:8], 1 << 63, NOTICES),
    Notification(b"a server", 0),
    Known(NOTICES),
]
BROKEN = [
    b"",
    b"words",
    b"\xff",
    b"[]",
    b"null",
    b'["a", "xy", 1]',
    b'["a", ["\xc4\x80", "b"], 1, 1, []]',
    b'["a", ["x", "y"], 1, 1, [null]]',
    b'[1, ["x", "y"], 1, 1, []]',
    b'["a", ["x", 1], 1, 1, []]',
    b'["a", ["x", "y", "z"], 1, 1, []]',
    b'["offer", "a", ["x", "y"], 2, [], []]',
    b'["offer", "a", ["x", "y"], null, [], []]',
    b'["offer", 1, ["x", "y"], 1, [], []]',
    b'["offer", "a", ["x"], 1, [], []]',
    b'["offer", "a", ["x", "y"], 1, ["1"], []]',
    b'["offer", "a", ["x", "y"], 1, [], [null]]',
    b'["offer", "a", ["x", "y"], 1, 7, []]',
    b'{"offer": 1, "a": 2, "b": 3, "c": 4, "d": 5, "e": 6}',
    b'["other", "a", ["x", "y"], 1, [], []]',
    b'["told", "words"]',
    b'["told", 7]',
    b'["known", "\xc4\x80"]',
    b'["known", "\\u0002"]',
    b'[[], "words"]',
]


def test_what_one_tells_all_others_hear(tmp_path: Path) -> None:
    one, *others = (GateNews(tmp_path) for _ in range(3))
    one.broadcast(NEWS)
    assert [list(news.received()) for news in (one, *others)] == [[], NEWS, NEWS]
    for news in (one, *others):
        assert news.path.stat().st_mode & 0o777 == 0o600
        news.close()
    assert not list(tmp_path.iterdir())


def test_the_dead_are_forgotten_and_who_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    one, dead, deaf = (GateNews(tmp_path) for _ in range(3))
    dead.sock.close()
    one.broadcast(PROVEN * 1000)
    assert not dead.path.exists()
    assert 0 < len(list(deaf.received())) <= AT_ONCE
    for news in (one, deaf):
        news.close()


@pytest.mark.parametrize("said", BROKEN)
def test_what_is_not_understood_is_left(tmp_path: Path, said: bytes) -> None:
    news = GateNews(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.sendto(said, str(news.path))
    (tmp_path / "proved.other").write_bytes(b"1000.0\n" + said)
    news.broadcast([])
    assert list(news.received()) == list(news.read_files(1000.0)) == []
    (tmp_path / "proved.other").write_bytes(said)
    assert list(news.read_files(1000.0)) == []
    news.close()


@pytest.mark.parametrize(("age", "valid"), [(0.0, True), (VALID_SECONDS, True), (61.0, False), (-1.0, False)])
def test_a_file_is_read_for_a_minute(tmp_path: Path, age: float, valid: bool) -> None:
    one, other = GateNews(tmp_path), GateNews(tmp_path)
    one.save(PROVEN, 5000.0)
    assert one.file.stat().st_mode & 0o777 == 0o600
    one.close()
    assert list(one.read_files(5000.0 + age)) == []
    assert list(other.read_files(5000.0 + age)) == (PROVEN if valid else [])
    assert one.file.exists() is valid
    other.close()


@pytest.mark.parametrize(("age", "left"), [(0.0, 100), (59.5, 40)])
def test_what_was_told_grows_old_in_a_file(tmp_path: Path, age: float, left: int) -> None:
    one, other = GateNews(tmp_path), GateNews(tmp_path)
    one.save([], 5000.0, Known((NOTICES[0], NOTICES[0]._replace(seconds=30))))
    (known,) = other.read_files(5000.0 + age)
    assert isinstance(known, Known)
    assert [notice.seconds for notice in known.notices] == [left, *([30] if age < 30 else [])]
    for news in (one, other):
        news.close()


def test_what_older_versions_do_not_know_stands_last_and_hides_nothing(tmp_path: Path) -> None:
    one, other = GateNews(tmp_path), GateNews(tmp_path)
    one.save(PROVEN, 5000.0, Known(NOTICES))
    assert [type(news) for news in other.read_files(5000.0)] == [Proven, Proven, Known]
    one.file.write_bytes(one.file.read_bytes().replace(b"\n", b'\n["later", 1]\n', 1))
    assert [type(news) for news in other.read_files(5000.0)] == [Proven, Proven, Known]
    for news in (one, other):
        news.close()


def test_where_nothing_is_proved_no_file_is_left(tmp_path: Path) -> None:
    one = GateNews(tmp_path)
    one.save([], 5000.0)
    one.save(PROVEN, 5001.0)
    assert one.file.exists()
    one.save([], 5002.0)
    one.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("age", "stays"), [(0.0, True), (61.0, False)])
def test_what_a_killed_process_left_half_written_goes(tmp_path: Path, age: float, stays: bool) -> None:
    one, draft = GateNews(tmp_path), tmp_path / "draft.other"
    draft.touch()
    assert list(one.read_files(draft.stat().st_mtime + age)) == []
    assert draft.exists() is stays
    one.close()
