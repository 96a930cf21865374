"""How much memory this process holds: counted, not traced, so a flood is not slower for it."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Self

LARGEST_BLOCK = 512  # bytes; Python has whatever is larger from malloc


class Mallinfo(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    ]
    hblkhd: int
    uordblks: int


mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Mallinfo


class Footprint:
    """Blocks of Python's own, of any size up to the largest, and bytes from malloc."""

    def __init__(self, blocks: int, large: int) -> None:
        self.blocks, self.large = blocks, large

    @classmethod
    def now(cls) -> Self:
        gc.collect()
        told = mallinfo()
        return cls(sys.getallocatedblocks(), told.uordblks + told.hblkhd)

    def growth(self) -> int:
        """How many bytes have come since, at most."""
        now = self.now()
        return (now.blocks - self.blocks) * LARGEST_BLOCK + now.large - self.large
