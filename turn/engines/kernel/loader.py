"""Loads the program for processes that may not: root's part, done once before the relay starts.

Each process gets a program and maps of its own. They are kept ("pinned") in a folder of the kernel's file
system for such things, and the program is attached to all interfaces. So it stays until it is unloaded,
whichever process lives or dies.
"""

from __future__ import annotations

import ctypes
import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from turn.engines.kernel import attachment, clsact
from turn.engines.kernel.attachment import FILTER, HOOK, INGRESS, PLACE, CannotAttach, Filter, KernelLink
from turn.engines.kernel.maps import NAMES, CannotRide, library
from turn.engines.kernel.own import OWN, own_addresses, write
from turn.engines.kernel.pins import places
from turn.engines.kernel.program import Program
from turn.engines.kernel.routes import interfaces

log = logging.getLogger("calln.kernel")

PROGRAM, LINK = "program", "link-"
FOLDER, MAP, OURS = 0o750, 0o660, 0o600  # their group is that of the process that loads


def load(folder: Path, processes: int, slots: int, *, loopback: bool = False) -> None:
    """Load and attach what is not there yet: for so many processes, each with room for so many directions of
    flows; between addresses of loopback only if they are wanted. To be done again when there are other
    interfaces or addresses. Raises CannotRide; then nothing is there."""
    try:
        for number in range(processes):
            place = folder / str(number)
            if not (place / PROGRAM).exists():
                pin(place, slots)
            learn_addresses(place, loopback=loopback)
            attach(place)
    except CannotRide:
        unload(folder)
        raise


def unload(folder: Path) -> None:
    """Take all away. Packets go up to the sockets again."""
    for place in places(folder):
        for interface in dict(interfaces()):
            detach_filter(interface, handle_of(place))
        for path in sorted(place.iterdir()):  # a link is gone when nobody keeps it
            path.unlink()
        place.rmdir()
    clsact.tidy(library(), folder.parent)
    for emptied in (folder, folder.parent):
        with suppress(OSError):  # it is not there, or another release has its maps there
            emptied.rmdir()


def pin(place: Path, slots: int) -> None:
    """Raises CannotRide."""
    program = Program(slots)
    try:
        make_folder(place)
        for name in NAMES:
            keep(program.lib, program.map(name), place / name, MAP)
        keep(program.lib, program.own, place / OWN)
        keep(program.lib, program.descriptor, place / PROGRAM)  # the last one: all is there
    except OSError as problem:
        raise CannotRide(f"{problem.filename}: {problem.strerror}") from None
    finally:
        program.close()


def make_folder(path: Path) -> None:
    """And those above it. Raises OSError."""
    if not path.exists():
        make_folder(path.parent)
        path.mkdir()
        path.chmod(FOLDER)  # whatever the process forbids for files in general


def keep(lib: ctypes.CDLL, descriptor: int, path: Path, mode: int = OURS) -> None:
    """Raises OSError."""
    path.unlink(missing_ok=True)
    if lib.bpf_obj_pin(descriptor, os.fsencode(path)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    path.chmod(mode)


def learn_addresses(place: Path, *, loopback: bool) -> None:
    """Raises CannotRide."""
    lib = library()
    descriptor = lib.bpf_obj_get(os.fsencode(place / OWN))
    try:
        write(lib, descriptor, own_addresses(loopback=loopback))
    except OSError as problem:
        raise CannotRide(f"{place / OWN}: {problem.strerror}") from None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def attach(place: Path) -> None:
    """To all interfaces that the program can serve, and to no other. One of them may refuse. Raises
    CannotRide if all do."""
    wanted = set(dict(interfaces()))
    for link in links(place):
        if interface_of(link) not in wanted:
            link.unlink()
    attached = {interface_of(link) for link in links(place)}
    lib = library()
    program = lib.bpf_obj_get(os.fsencode(place / PROGRAM))
    try:
        for interface in wanted - attached:
            try:
                attach_to(lib, program, place, interface)
            except (CannotAttach, OSError) as problem:
                log.warning("interface %d: %s", interface, problem)
                wanted.discard(interface)
    finally:
        os.close(program)
    if not wanted:
        raise CannotRide("no interface takes the program")


def attach_to(lib: ctypes.CDLL, program: int, place: Path, interface: int) -> None:
    """Raises CannotAttach and OSError."""
    made = attachment.attach(lib, program, interface, handle_of(place))
    if isinstance(made, KernelLink):
        try:
            keep(lib, made.descriptor, place / f"{LINK}{interface}")
        finally:
            made.close()
    elif isinstance(made, Filter) and made.has_made_clsact:  # the filter stays by itself
        clsact.mark(place.parent.parent, interface)


def detach_filter(interface: int, handle: int) -> None:
    """Nothing if there is none."""
    hook = HOOK.pack(HOOK.size, interface, INGRESS, 0)
    library().bpf_tc_detach(hook, FILTER.pack(FILTER.size, 0, 0, 0, handle, PLACE))


def handle_of(place: Path) -> int:
    """By which the filters of this folder are known, on kernels that have no links."""
    return zlib.crc32(os.fsencode(place)) % 0x7FFFFFFF + 1


def links(place: Path) -> Iterator[Path]:
    yield from list(place.glob(f"{LINK}*"))


def interface_of(link: Path) -> int:
    return int(link.name.removeprefix(LINK))
