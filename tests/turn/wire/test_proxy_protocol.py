"""Headers of the PROXY protocol: which client they name, why others are refused; no byte is read too many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.wire.proxy_headers import CASES, Case, header_for, titles
from turn.flows import Address, Transport
from turn.wire.proxy_protocol import (
    LARGEST,
    PREFIX,
    SIGNATURE,
    BadHeader,
    build_header,
    client_of,
    crc32c,
    header_size,
    reached_at,
)


@pytest.mark.parametrize("case", CASES["read"], ids=titles(CASES["read"]))
def test_whom_it_names(case: Case) -> None:
    data = bytes.fromhex(case["bytes"])
    assert header_size(data + b"what follows") == len(data)
    client = client_of(data, case["transport"])
    assert (str(client).partition("://")[2] if client else "") == case["client"]
    assert client is None or client.transport == case["transport"]


@pytest.mark.parametrize("case", CASES["refused"], ids=titles(CASES["refused"]))
def test_what_names_nobody(case: Case) -> None:
    data = bytes.fromhex(case["bytes"])
    with pytest.raises(BadHeader) as bad:  # noqa: PT012  (either of the two may find it)
        assert header_size(data) == len(data)
        client_of(data, case["transport"])
    assert str(bad.value) == case["reason"]


@pytest.mark.parametrize("case", CASES["read"], ids=titles(CASES["read"]))
def test_its_size_is_known_as_soon_as_it_can_be(case: Case) -> None:
    data = bytes.fromhex(case["bytes"])
    sizes = [header_size(data[:end]) for end in range(len(data) + 1)]
    assert sizes == [PREFIX] * PREFIX + [len(data)] * (len(data) + 1 - PREFIX)


def test_what_others_say_never_looks_like_it() -> None:
    for first in set(range(256)) - {SIGNATURE[0]}:
        with pytest.raises(BadHeader):
            header_size(bytes([first]))


def test_the_largest() -> None:
    client = Address.of("203.0.113.9", 51000, "tcp")
    room = LARGEST - len(header_for(client)) - 3
    largest = header_for(client, b"\x04" + room.to_bytes(2) + bytes(room))
    assert (header_size(largest), client_of(largest, "tcp")) == (LARGEST, client)
    with pytest.raises(BadHeader):
        header_size(header_for(client, b"\x04" + (room + 1).to_bytes(2) + bytes(room + 1)))


@given(
    st.sampled_from([4, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.integers(0, 65535),
    st.sampled_from(["udp", "tcp", "tls"]),
    st.booleans(),
)
def test_what_is_written_is_read(ip: bytes, port: int, transport: Transport, checked: bool) -> None:
    client = Address(ip, port, transport)
    header = header_for(client, b"\x03\0\4\0\0\0\0" if checked else b"")
    if checked:
        header = header[:-4] + crc32c(header)
    try:
        found = client_of(header, transport)
    except BadHeader as bad:
        refused, found = str(bad), None
    if found is None:
        assert refused == "the header names a client that cannot be"
        assert not port or ip[0] in (0, *range(224, 256))
    else:
        assert found in (client, client._replace(ip=ip[12:]))


@pytest.mark.parametrize(
    ("text", "crc"), [(b"123456789", "e3069283"), (bytes(32), "8a9136aa"), (b"\xff" * 32, "62a8ab43")]
)
def test_the_checksum_is_castagnolis(text: bytes, crc: str) -> None:
    """The second and third from RFC 3720 §B.4, read as numbers."""
    assert crc32c(text).hex() == crc


@pytest.mark.parametrize(
    ("client", "reached"),
    [
        (Address.of("192.0.2.7", 50000, "tls"), Address.of("203.0.113.5", 443, "tls")),
        (Address.of("2001:db8::7", 1, "tls"), Address.of("2001:db8::1", 65535, "tls")),
    ],
)
def test_what_we_say_is_what_is_read(client: Address, reached: Address) -> None:
    header = build_header(client, reached)
    assert header_size(header) == len(header)
    assert client_of(header, "tls") == client
    assert reached_at(header, "tls") == reached


def test_an_address_of_ipv4_within_ipv6_is_the_one_of_ipv4() -> None:
    mapped = bytes(10) + b"\xff\xff"
    here = Address.of("203.0.113.5", 443, "tls")
    header = build_header(Address(mapped + b"\1\2\3\4", 5, "tls"), here._replace(ip=mapped + here.ip))
    assert reached_at(header, "tls") == here
