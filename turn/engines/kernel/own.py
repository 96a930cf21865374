"""The addresses of this machine, as the program knows them: packets leave from these, and reach none of them.

The program's other maps belong to the process that links flows. Should somebody take over that process, no
packet of the program goes out under another machine's address, and none reaches a local port past the
firewall. Only root can change this map; to or from an address that it does not hold, calls do not ride.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping

from host.interfaces import interface_addresses
from turn.engines.kernel.maps import ANY

OWN = "own"  # the map's name
KEY = struct.Struct("16sI")
ROOM = 1024  # addresses
USUAL, LOOPBACK = 1, 2  # packets between addresses of the second kind stay on this machine, and may


def own_addresses(*, loopback: bool) -> dict[bytes, int]:
    """Of all interfaces, each with its kind; those of the second kind only if they are wanted."""
    return {
        ip.packed: LOOPBACK if ip.is_loopback else USUAL
        for ip in interface_addresses()
        if loopback or not ip.is_loopback
    }


def write(lib: ctypes.CDLL, descriptor: int, addresses: Mapping[bytes, int]) -> None:
    """Make the map hold these and no others. Raises OSError."""
    wanted = {KEY.pack(ip, 4 if len(ip) == 4 else 6): kind for ip, kind in addresses.items()}
    for key in [key for key in keys(lib, descriptor) if key not in wanted]:
        checked(lib.bpf_map_delete_elem(descriptor, key))
    for key, kind in wanted.items():
        checked(lib.bpf_map_update_elem(descriptor, key, struct.pack("I", kind), ANY))


def keys(lib: ctypes.CDLL, descriptor: int) -> list[bytes]:
    key, found = ctypes.create_string_buffer(KEY.size), []
    more = not lib.bpf_map_get_next_key(descriptor, None, key)
    while more:
        found.append(key.raw)
        more = not lib.bpf_map_get_next_key(descriptor, key, key)
    return found


def checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"own addresses: {os.strerror(ctypes.get_errno())}")
