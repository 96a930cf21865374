"""Each row packs what it unpacks, refuses what is no value, and is known to aioice."""

from __future__ import annotations

from typing import Any

import pytest
from aioice import stun as aioice
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.wire.values import ADDRESSES
from turn.errors import BadRequest
from turn.flows import Address
from turn.wire import attributes
from turn.wire.attributes import TABLE, Attribute

TRANSACTION = bytes(range(12))
ANYTHING = st.binary(max_size=600)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "pack_address": ADDRESSES,
    "pack_xor_address": ADDRESSES,
    "pack_text": st.text(max_size=80),
    "pack_bytes": ANYTHING,
    "pack_number": st.integers(0, 0xFFFFFFFF),
    "pack_channel": st.integers(0, 0xFFFF),
    "pack_first": st.integers(0, 255),
    "pack_flag": st.booleans(),
    "pack_nothing": st.none(),
    "pack_types": st.lists(st.integers(0, 0xFFFF), max_size=20).map(tuple),
    "pack_code": st.integers(300, 699),
    "pack_icmp": st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(min_size=4, max_size=4)),
    "pack_family_code": st.tuples(st.integers(0, 255), st.integers(300, 699)),
}
ROWS = list(TABLE.values())


@given(st.data())
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_unpacks_what_it_packs(row: Attribute[Any], data: st.DataObject) -> None:
    value = data.draw(
        st.binary(min_size=8, max_size=8) if row.name == "RESERVATION-TOKEN" else VALUES[row.pack.__name__]
    )
    transaction = data.draw(st.binary(min_size=12, max_size=12))
    assert row.unpack(row.pack(value, transaction), transaction) == value


@given(value=st.binary(max_size=40))
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_value_makes_a_row_raise_anything_but_bad_request(row: Attribute[Any], value: bytes) -> None:
    try:
        row.unpack(value, TRANSACTION)
    except BadRequest:
        assert row.unpack is not attributes.unpack_bytes


MALFORMED = [
    ("LIFETIME", "000258"),
    ("LIFETIME", "0000025800"),
    ("LIFETIME", ""),
    ("CHANNEL-NUMBER", "4000"),
    ("REQUESTED-TRANSPORT", "110000"),
    ("REQUESTED-ADDRESS-FAMILY", "0100"),
    ("EVEN-PORT", ""),
    ("EVEN-PORT", "80000000"),
    ("RESERVATION-TOKEN", "01020304050607"),
    ("DONT-FRAGMENT", "00"),
    ("XOR-PEER-ADDRESS", ""),
    ("XOR-PEER-ADDRESS", "0001"),
    ("XOR-PEER-ADDRESS", "0001 1234 010203"),
    ("XOR-PEER-ADDRESS", "0001 1234 01020304 05"),
    ("XOR-PEER-ADDRESS", "0000 1234 01020304"),
    ("XOR-PEER-ADDRESS", "0003 1234 01020304"),
    ("XOR-PEER-ADDRESS", "0002 1234 01020304"),
    ("ICMP", "00000304000005"),
    ("ICMP", "00000304000005dc00"),
    ("ALTERNATE-SERVER", "0001 0d96 0102"),
    ("USERNAME", "ff"),
    ("ERROR-CODE", "0000"),
    ("UNKNOWN-ATTRIBUTES", "00"),
]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_malformed_value_is_a_bad_request(name: str, value: str) -> None:
    row = next(row for row in ROWS if row.name == name)
    with pytest.raises(BadRequest):
        row.unpack(bytes.fromhex(value), TRANSACTION)


def test_numbers_and_names_are_used_once() -> None:
    assert len({row.name for row in ROWS}) == len(TABLE) == 36


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_aioice_knows_the_row_under_both_keys(row: Attribute[Any]) -> None:
    assert aioice.ATTRIBUTES_BY_TYPE[row.type] is aioice.ATTRIBUTES_BY_NAME[row.name]


def test_aioice_speaks_the_rows_that_it_lacked() -> None:
    values = {"EVEN-PORT": True, "RESERVATION-TOKEN": b"12345678", "REQUESTED-ADDRESS-FAMILY": 2}
    sent = aioice.Message(aioice.Method.ALLOCATE, aioice.Class.REQUEST, attributes=dict(values))
    assert aioice.parse_message(bytes(sent)).attributes == values


@given(ADDRESSES, st.binary(min_size=12, max_size=12))
def test_addresses_are_masked_as_aioice_masks_them(address: Address, transaction: bytes) -> None:
    theirs = aioice.pack_xor_address((address.host, address.port), transaction)
    assert attributes.pack_xor_address(address, transaction) == theirs
