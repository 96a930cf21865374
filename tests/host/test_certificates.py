"""Certificates that have expired, are valid, or are not valid yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from host.certificates import expiry, validity_problem, warn_if_invalid
from host.startup import Unavailable
from host.tls import BadCertificate, Certificate
from tests.host.authority import issued, openssl
from tests.ports import free_port
from tests.turn.engines.certificates import certificate
from tests.turn.process.relay_process import elsewhere
from tests.turn.service.running import turn
from turn.process import run
from turn.service.from_config import RelayConfig

SAID = "the certificate has expired: clients refuse TLS; calln doctor says what to do"
DAYS = [  # the first and the last one, counted from today; what is said
    (-1, 1, None),
    (-9, -2, "has expired"),
    (2, 9, "is not valid yet"),
]


def of_another_curve(folder: Path) -> Certificate:
    made = Certificate(folder / "some.pem", folder / "some.key")
    openssl("req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1",
            "-keyout", made.key, "-out", made.chain, "-subj", "/CN=x")  # fmt: skip
    return made


def not_in_pem(folder: Path) -> Certificate:
    made = Certificate(folder / "some.pem", folder / "some.key")
    for file in made:
        file.write_text("nonsense")
    return made


@pytest.mark.parametrize("issued_by_another", [False, True])
@pytest.mark.parametrize(("first", "last", "said"), DAYS)
def test_a_certificate_has_its_days(
    first: int, last: int, said: str | None, issued_by_another: bool, tmp_path: Path
) -> None:
    by = certificate() if issued_by_another else None
    assert validity_problem(issued(tmp_path, first, last, by=by)) == said


def test_files_that_are_no_certificate(tmp_path: Path) -> None:
    with pytest.raises(BadCertificate):
        validity_problem(Certificate(tmp_path / "none", tmp_path / "none"))


def test_a_curve_that_tls_has_not(tmp_path: Path) -> None:
    with pytest.raises(BadCertificate, match="TLS cannot use it"):
        validity_problem(of_another_curve(tmp_path))


def test_the_log_says_it_without_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    warn_if_invalid(None)
    warn_if_invalid(certificate())
    assert caplog.records == []
    warn_if_invalid(issued(tmp_path, -9, -2))
    assert caplog.messages == [SAID]
    with pytest.raises(BadCertificate):
        warn_if_invalid(Certificate(tmp_path / "none", tmp_path / "none"))
    assert str(tmp_path) not in caplog.text


UNUSABLE = [(not_in_pem, "no certificate and key in PEM"), (of_another_curve, "TLS cannot use it")]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("make", "words"), UNUSABLE)
async def test_a_relay_that_could_show_it_to_nobody_does_not_start(
    tmp_path: Path, make: Callable[[Path], Certificate], words: str, workers: int
) -> None:
    made = make(tmp_path)
    config = RelayConfig(turn(certificate=made.chain, key=made.key, workers=workers), [])
    with pytest.raises(Unavailable, match=rf"^turn\.certificate, turn\.key: {made.chain}.*{words}"):
        await run.serve(lambda: config, config, tmp_path)


async def test_it_is_said_at_the_start_and_at_each_reload(tmp_path: Path) -> None:
    old, places = issued(tmp_path, -9, -2), f"tls://127.0.0.1:{free_port()}"
    async with elsewhere(tmp_path, certificate=str(old.chain), key=str(old.key)) as relay:
        assert [line["text"] for line in relay.log() if "certificate" in line["text"]] == [SAID]
        async with relay.operator() as operator:
            assert (await operator.post("/reload")).status_code == 200
            new = certificate()
            relay.write(certificate=str(new.chain), key=str(new.key), listen=[str(relay.listener), places])
            assert (await operator.post("/reload")).status_code == 200
        assert [line["text"] for line in relay.log() if "certificate" in line["text"]] == [SAID] * 2
        assert str(tmp_path) not in str(relay.log())


@pytest.mark.parametrize(("first", "last", "wrong"), DAYS)
def test_the_end_of_one_that_is_good_is_known(
    tmp_path: Path, first: int, last: int, wrong: str | None
) -> None:
    days = (expiry(issued(tmp_path, first, last)) - datetime.now(UTC).timestamp()) / 86_400
    assert (round(days) == last) is (wrong is None)


def test_the_end_of_nonsense_is_not(tmp_path: Path) -> None:
    with pytest.raises(BadCertificate):
        expiry(not_in_pem(tmp_path))
