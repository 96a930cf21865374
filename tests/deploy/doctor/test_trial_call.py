"""A call in small, through a real relay: where it gets through, and what is said where it does not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from deploy.doctor import trial_call
from deploy.doctor.trial_call import TrialFailed
from tests.ports import free_port
from tests.turn.engines.certificates import certificate
from tests.turn.process.relay_process import elsewhere
from tests.turn.service.running import SECRET
from turn.credentials import mint
from turn.flows import Address, Transport

DAY = 86_400  # seconds: a whole run of all tests has to end within
GOOD = mint(SECRET, "doctor", int(time.time()) + DAY)
WRONG = mint(b"another secret of theirs", "doctor", int(time.time()) + DAY)


@pytest.mark.parametrize("mode", ["enforce", "off"])
async def test_words_get_through_by_each_transport_and_both_families(tmp_path: Path, mode: str) -> None:
    shown = certificate()
    schemes: tuple[Transport, ...] = ("udp", "tcp", "tls")
    places = [Address.of(ip, free_port(), scheme) for ip in ("127.0.0.1", "::1") for scheme in schemes]
    files = {"certificate": str(shown.chain), "key": str(shown.key)}
    listen = [str(place) for place in places]
    async with elsewhere(
        tmp_path, secret=SECRET.decode(), listen=listen, encrypted_only=mode, **files
    ) as relay:
        for place in places:
            await asyncio.to_thread(trial_call.make_trial_call, place, GOOD)
            with pytest.raises(TrialFailed, match=r"401"):
                await asyncio.to_thread(trial_call.make_trial_call, place, WRONG)
        async with relay.operator() as operator:
            assert (await operator.get("/sessions")).json() == {"sessions": []}


@pytest.mark.parametrize(("transport", "why"), [("udp", "no answer|refused"), ("tcp", "refused")])
def test_nobody_there_is_told(transport: Transport, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_call, "TIMEOUT", 1.0)
    with pytest.raises(TrialFailed, match=why):
        trial_call.make_trial_call(Address.of("127.0.0.1", free_port(), transport), GOOD)


PLACES = [("192.0.2.7", "192.0.2.7"), ("0.0.0.0", "10.0.0.5"), ("::", "::1")]


@pytest.mark.parametrize(("listening", "reached"), PLACES)
def test_a_wildcard_is_reached_as_others_reach_it(
    listening: str, reached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        trial_call, "source_towards", lambda host: Address.of("10.0.0.5", 0).ip if "." in host else None
    )
    assert trial_call.client_address(Address.of(listening, 3478)) == (reached, 3478)
