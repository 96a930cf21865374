"""A proxy's mistake is told once a minute, by its kind and without an address."""

from __future__ import annotations

import pytest

from turn.engines.loop.trusted_proxies import LOG_SECONDS, TrustedProxies
from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader


def test_who_is_one() -> None:
    proxies = TrustedProxies(lambda ip: ip[:1] == b"\x0a")
    hosts = ("10.1.2.3", "11.1.2.3", "a00::1")
    assert [proxies.includes(Address.of(host, 1)) for host in hosts] == [True, False, True]


def test_each_reason_is_told_seldom(caplog: pytest.LogCaptureFixture) -> None:
    proxies = TrustedProxies(lambda _: True)
    for reason in ("one", "another", "one", "one"):
        proxies.log_refusal(BadHeader(reason))
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["one", "another"]
    proxies.quiet_until["one"] -= LOG_SECONDS
    proxies.log_refusal(BadHeader("one"))
    assert len(caplog.records) == 3
