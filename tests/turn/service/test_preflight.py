"""What this machine lacks is reported before the relay starts."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from functools import partial

import pytest

from host.startup import Unavailable
from tests.turn.engines.certificates import certificate
from tests.turn.engines.world import End, free
from tests.turn.service.running import LOOPBACK, SECRET, turn
from turn.core.relay import Relay
from turn.engines import CannotListen
from turn.engines.portable.engine import Portable
from turn.flows import Address
from turn.service.from_config import RelayConfig, relay_settings, stream_settings
from turn.service.preflight import check_loopback_peers, lacks_ipv6, open_listeners
from turn.service.service import Service


def test_a_certificate_that_cannot_be_used_is_no_start_and_no_reload() -> None:
    good, other = certificate(), certificate("other")
    there = free("127.0.0.1", "tls")
    keys: dict[str, object] = {"listen": str(there), "certificate": good.chain}
    make = partial(Portable, streams=stream_settings(turn(**keys, key=other.key)))
    with pytest.raises(Unavailable, match=r"turn.certificate, turn.key: .* belongs to another certificate"):
        open_listeners(make, [there])
    engine, _ = open_listeners(
        partial(Portable, streams=stream_settings(turn(**keys, key=good.key))), [there]
    )
    assert isinstance(engine, Portable)
    config = RelayConfig(turn(**keys, key=good.key), [SECRET])
    running = Service(Relay(relay_settings(config, [there], LOOPBACK)), engine)
    with pytest.raises(Unavailable, match="belongs to another certificate"):
        running.reload_streams(turn(**keys, key=other.key))
    running.reload_streams(turn(**keys, key=good.key))
    engine.close_all()


BAD_ADDRESSES = [
    (Address.of("192.0.2.99", 3478), "no such address"),
    (Address.of("2001:db8::99", 3478), "no such address"),
]


@pytest.mark.parametrize(("address", "words"), BAD_ADDRESSES)
def test_an_address_that_is_not_ours_is_named(address: Address, words: str) -> None:
    with pytest.raises(Unavailable, match=words) as caught:
        open_listeners(Portable, [address])
    assert str(address) in str(caught.value)


def test_a_port_that_is_taken_is_named() -> None:
    squatter = End()
    with closing(squatter), pytest.raises(Unavailable, match=r"in use; .*turn\.listen") as caught:
        open_listeners(Portable, [squatter.address])
    assert str(squatter.address.port) in str(caught.value)


class Without6:
    """What an engine meets on a machine without IPv6."""

    name = "without IPv6"

    def __new__(cls, listen: list[Address]) -> Portable:  # type: ignore[misc]
        for address in listen:
            if len(address.ip) == 16:
                raise CannotListen(address, OSError(errno.EAFNOSUPPORT, "Address family not supported"))
        return Portable([])


def test_no_ipv6_is_a_warning_and_nothing_left_is_an_end(caplog: pytest.LogCaptureFixture) -> None:
    four, six = Address.of("0.0.0.0", 3478), Address.of("::", 3478)
    engine, left = open_listeners(Without6, [four, six])  # type: ignore[arg-type]
    engine.close(four)
    assert left == (four,)
    assert "no IPv6" in caplog.text
    with pytest.raises(Unavailable, match="no IPv6"):
        open_listeners(Without6, [six])  # type: ignore[arg-type]


LACKING = [
    ("::", errno.EAFNOSUPPORT, True),
    ("::", errno.EADDRNOTAVAIL, True),
    ("::1", errno.EAFNOSUPPORT, True),
    ("::1", errno.EADDRNOTAVAIL, False),
    ("::", errno.EADDRINUSE, False),
    ("0.0.0.0", errno.EADDRNOTAVAIL, False),
]


@pytest.mark.parametrize(("host", "number", "lacking"), LACKING)
def test_what_speaks_of_a_machine_without_ipv6(host: str, number: int, lacking: bool) -> None:
    error = CannotListen(Address.of(host, 3478), OSError(number, os.strerror(number)))
    assert lacks_ipv6(error) is lacking


@pytest.mark.parametrize(
    ("own", "at", "allowed", "refused"),
    [
        (["127.0.0.1", "9.9.9.9"], "udp://0.0.0.0:3478", True, True),
        (["::1", "2600::5"], "[::]:3478", True, True),
        (["127.0.0.1", "9.9.9.9"], "udp://0.0.0.0:3478", False, False),
        (["127.0.0.1", "9.9.9.9"], "udp://127.0.0.1:3478", True, False),
        (["127.0.0.1", "10.0.0.5", "fe80::1"], "udp://0.0.0.0:3478", True, False),
    ],
)
def test_where_loopback_peers_are_refused(own: list[str], at: str, allowed: bool, refused: bool) -> None:
    addresses = frozenset(Address.of(ip, 0).ip for ip in own)
    configured = turn(listen=at, allow_loopback_peers=allowed)
    try:
        check_loopback_peers(configured, addresses)
        told = ""
    except Unavailable as problem:
        told = str(problem)
    assert ("strangers would reach its own ports" in told) is refused
