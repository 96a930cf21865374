"""What the measures of frames send, and which figures are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.client import indicated
from tests.bench.relay import keep
from turn.engines.framing import HEADROOM, peer_key, read_send
from turn.flows import Address

PEER = ("192.0.2.7", 40000)


@pytest.mark.parametrize("fingerprint", [True, False])
@pytest.mark.parametrize("size", [0, 1, 160])
def test_data_are_framed_as_browsers_do(fingerprint: bool, size: int) -> None:
    data = bytes(range(size))
    frame = indicated(PEER, data, fingerprint=fingerprint)
    view = memoryview(bytes(HEADROOM) + frame)
    found = read_send(view, HEADROOM, len(frame))
    assert found is not None
    peer, start, length = found
    assert (peer, bytes(view[start : start + length])) == (peer_key(Address.of(*PEER)), data)
    assert len(frame) == 36 + size + -size % 4 + 8 * fingerprint


def test_rows_that_were_not_measured_this_time_stay(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    keep(file, {"rounds": 1}, {"apples": {"calln": [1.0], "coturn": [2.0]}, "pears": {"kernel": [3.0]}})
    keep(file, {"rounds": 2}, {"plums": {"kernel": [4.0]}})
    assert json.loads(file.read_text()) == {
        "run": {"rounds": 1},
        "rows": {"apples": {"calln": [1.0], "coturn": [2.0]}},
        "frames": {"run": {"rounds": 2}, "rows": {"pears": {"kernel": [3.0]}, "plums": {"kernel": [4.0]}}},
    }
