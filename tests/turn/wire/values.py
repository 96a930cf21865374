"""Values for attributes: any address, and bytes where a row has something else."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from turn.flows import Address
from turn.wire.attributes import (
    DATA,
)


def replaced(row: Any) -> Any:
    """The row with bytes for its value."""
    return type(row)(row.type, row.name, DATA.pack, DATA.unpack)


ADDRESSES = st.builds(
    Address,
    st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
    st.integers(0, 65535),
    st.just("udp"),
)
