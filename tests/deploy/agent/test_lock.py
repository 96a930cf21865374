"""One deployment at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.agent.lock import Held, held


def test_the_second_is_told_who_is_first(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    told = pytest.raises(Held, match=r"alice@desk \(since ..:..:.. UTC\) works")
    with held("alice@desk", file), told, held("bob@desk", file):
        pass
    with held("bob@desk", file):
        assert "bob" in file.read_text()


def test_a_holder_without_a_name_is_somebody(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with held("alice", file):
        file.write_text("")
        with pytest.raises(Held, match="somebody else works"), held("bob", file):
            pass
