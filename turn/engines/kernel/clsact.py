"""What filters of ours stand in, on kernels without links (clsact): it goes when it is empty and was ours."""

from __future__ import annotations

import ctypes
import socket
import struct
from pathlib import Path

from turn.engines.kernel.attachment import HOOK, INGRESS

EGRESS = 2
MESSAGE, TRAFFIC = struct.Struct("IHHII"), struct.Struct("B3xiIII")  # of netlink: its header, and a request's
GET_FILTER, NEW_FILTER, REQUEST, DUMP = 46, 44, 0x1, 0x300
PLACES = (0xFFFFFFF2, 0xFFFFFFF3)  # for what comes in and for what goes out
PATIENCE = 1.0  # seconds; the kernel answers at once
MARK = "clsact-"


def mark(folder: Path, interface: int) -> None:
    """Remember that it is ours."""
    (folder / f"{MARK}{interface}").mkdir(exist_ok=True)


def tidy(lib: ctypes.CDLL, folder: Path) -> None:
    """Take away all of ours that nobody uses."""
    for made in list(folder.glob(f"{MARK}*")):
        interface = int(made.name.removeprefix(MARK))
        if not any(has_filters(interface, place) for place in PLACES):
            lib.bpf_tc_hook_destroy(HOOK.pack(HOOK.size, interface, INGRESS | EGRESS, 0))
            made.rmdir()


def has_filters(interface: int, place: int) -> bool:
    """False also of an interface that has gone."""
    body = TRAFFIC.pack(socket.AF_UNSPEC, interface, 0, place, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(PATIENCE)
        sock.send(MESSAGE.pack(MESSAGE.size + len(body), GET_FILTER, REQUEST | DUMP, 0, 0) + body)
        _, kind, *_ = MESSAGE.unpack_from(sock.recv(65536))
    return bool(kind == NEW_FILTER)
