"""The loaded program at the entrance of an interface (tc ingress), before what others have attached there.

Since Linux 6.6 that is a link (tcx), which ends with the process that holds it. Before, it is a filter of the
queueing discipline clsact. That one stays when its process is killed; the lease in the maps ends its work.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Protocol

NUMBERS = {"x86_64": 321, "aarch64": 280}  # of the system call bpf
LINK_CREATE, TCX_INGRESS, BEFORE = 28, 46, 1 << 3  # from Linux's headers
INGRESS, REPLACE = 1, 1  # from libbpf's, as these structures, each with its own size in front
HOOK = struct.Struct("QiIIxxxx")
FILTER = struct.Struct("QiIIIIxxxx")
PLACE = 51729  # among the filters of an interface; few others use such a number


class CannotAttach(Exception):
    """The kernel does not take the program at this interface; the text says why."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the program cannot be attached: {os.strerror(number)}")


class Attachment(Protocol):
    def close(self) -> None:
        """From now on, packets meet no program here."""


class KernelLink:
    """Linux 6.6 and later."""

    def __init__(self, program: int, interface: int) -> None:
        """Raises OSError; EINVAL where the kernel has no such links."""
        fields = struct.pack("IIIIIIQ", program, interface, TCX_INGRESS, BEFORE, 0, 0, 0).ljust(128, b"\0")
        system = ctypes.CDLL(None, use_errno=True)
        self.descriptor = system.syscall(NUMBERS[platform.machine()], LINK_CREATE, fields, len(fields))
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "no link")

    def close(self) -> None:
        os.close(self.descriptor)


class Filter:
    """Before Linux 6.6. `handle` tells filters of ours apart: one with the same handle is replaced."""

    def __init__(self, lib: ctypes.CDLL, program: int, interface: int, handle: int) -> None:
        """Raises OSError."""
        self.lib = lib
        self.hook = HOOK.pack(HOOK.size, interface, INGRESS, 0)
        self.handle = handle
        made = lib.bpf_tc_hook_create(self.hook)
        self.has_made_clsact = made == 0
        if made not in (0, -errno.EEXIST):
            raise OSError(-made, "no clsact")
        error = lib.bpf_tc_attach(self.hook, FILTER.pack(FILTER.size, program, REPLACE, 0, handle, PLACE))
        if error:
            raise OSError(-error, "no filter")

    def close(self) -> None:
        """An interface that has gone has taken its filters with it."""
        self.lib.bpf_tc_detach(self.hook, FILTER.pack(FILTER.size, 0, 0, 0, self.handle, PLACE))


def attach(lib: ctypes.CDLL, program: int, interface: int, handle: int) -> Attachment:
    """As this kernel can. Raises CannotAttach."""
    try:
        try:
            return KernelLink(program, interface)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return Filter(lib, program, interface, handle)
    except OSError as error:
        raise CannotAttach(error.errno or 0) from None
