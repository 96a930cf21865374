"""One deployment at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.agent.lock import Locked, exclusive


def test_the_second_is_told_who_is_first(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    told = pytest.raises(Locked, match=r"alice@desk \(since ..:..:.. UTC\) is working")
    with exclusive("alice@desk", file), told, exclusive("bob@desk", file):
        pass
    with exclusive("bob@desk", file):
        assert "bob" in file.read_text()


def test_a_holder_without_a_name_is_somebody(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with exclusive("alice", file):
        file.write_text("")
        with pytest.raises(Locked, match="another deployment is working"), exclusive("bob", file):
            pass
