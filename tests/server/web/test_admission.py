"""How many browsers may connect, and what those of one address may do together.

Origins and passwords are tested with the sockets, in test_websocket.py.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from server.signalling.rates import LARGE_MESSAGE, LARGE_RATE, REQUEST_RATE
from server.web.admission import Admission, AdmissionRules
from server.web.origins import ExemptNetworks

IP = ip_address("192.0.2.1")
HOUSEHOLDS = [ip_address(f"2001:db8:bad:{number:x}::1") for number in range(300)]
PROXY = ip_address("10.0.0.4")
NO_EXEMPT = ExemptNetworks()


def admission(**rules: int) -> Admission:
    return Admission(AdmissionRules(frozenset(), **rules), NO_EXEMPT)  # type: ignore[arg-type]


# Per address, in all; open from this address, open in all: the code.
CASES = [
    (0, 0, 10_000, 10_000, None),
    (3, 0, 2, 10_000, None),
    (3, 0, 3, 3, 4429),
    (0, 3, 0, 2, None),
    (0, 3, 0, 3, 1013),
    (3, 3, 3, 3, 4429),
]


@pytest.mark.parametrize(("per_address", "in_all", "of_address", "sockets", "code"), CASES)
def test_too_many(per_address: int, in_all: int, of_address: int, sockets: int, code: int | None) -> None:
    made = admission(max_per_address=per_address, max_clients=in_all)
    for _ in range(of_address):
        made.count_page(IP.packed)
    assert made.refusal_code(IP.packed, sockets) == code


def test_a_48_has_twice_the_pages_of_an_address() -> None:
    made = admission(max_per_address=5)
    opened = 0
    for address in [*HOUSEHOLDS[:1] * 20, *HOUSEHOLDS]:
        if made.refusal_code(address.packed, 0) is None:
            made.count_page(address.packed)
            opened += 1
    assert (opened, made.pages.amount(HOUSEHOLDS[0].packed)) == (10, 5)
    assert made.refusal_code(IP.packed, 0) is None


def test_new_visitors_of_an_address_come_at_a_rate() -> None:
    made = admission(new_per_minute=60)
    assert sum(made.may_be_new(IP.packed, 0.0) for _ in range(1000)) == 120
    assert sum(made.may_be_new(IP.packed, 10.0) for _ in range(1000)) == 10
    assert sum(made.may_be_new(address.packed, 0.0) for address in HOUSEHOLDS for _ in range(3)) == 240
    assert all(admission().may_be_new(IP.packed, 0.0) for _ in range(1000))


def test_large_messages_of_an_address_have_a_rate_and_small_ones_have_none() -> None:
    made, size = admission(), 8 << 10
    assert sum(made.may_send(IP.packed, size, 0.0) for _ in range(1000)) == LARGE_RATE.burst // size
    assert sum(made.may_send(IP.packed, size, 1.0) for _ in range(1000)) == LARGE_RATE.per_second // size
    assert all(made.may_send(IP.packed, LARGE_MESSAGE, 1.0) for _ in range(1000))
    assert made.may_send(HOUSEHOLDS[0].packed, size, 1.0)


def test_requests_of_an_address_have_a_rate_and_behind_a_proxy_those_of_its_clients() -> None:
    made = Admission(
        AdmissionRules(frozenset(), proxies=[ip_network("10.0.0.4/32")]),
        ExemptNetworks([ip_network("10.0.0.4/32")]),
    )

    def answered(address: str, forwarded: str | None = None) -> int:
        headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
        scope = {"client": (address, 1), "headers": headers}
        return sum(made.may_request(scope, 0.0) for _ in range(2_000))

    assert answered("192.0.2.1") == REQUEST_RATE.burst
    assert answered("10.0.0.4", "192.0.2.2") == REQUEST_RATE.burst
    assert answered("10.0.0.4", "192.0.2.3") == REQUEST_RATE.burst
    assert answered("10.0.0.4") == 2_000
    assert sum(answered(str(address)) for address in HOUSEHOLDS[:4]) == 2 * REQUEST_RATE.burst


def test_who_is_not_counted() -> None:
    proxies, trusted = [ip_network("10.0.0.0/24")], [ip_network("172.16.0.0/12")]
    made = Admission(AdmissionRules(frozenset(), max_per_address=1), ExemptNetworks(proxies, trusted))
    for exempt in (PROXY, ip_address("172.16.5.5")):
        assert made.counted_ip(exempt) is None
    assert made.counted_ip(IP) == IP.packed
    for _ in range(50):
        assert made.refusal_code(None, 50) is None
        assert made.may_be_new(None, 0.0)
        assert made.may_send(None, 60_000, 0.0)
        made.count_page(None)
    unknown = made.counted_ip(None)
    made.count_page(unknown)
    assert made.refusal_code(unknown, 0) == 4429
