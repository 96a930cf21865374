"""The country of an address, from local files: an MMDB file, or Debian's tor-geoipdb with two text files."""

from __future__ import annotations

import os
import re
import shutil
import stat
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import AF_INET6, inet_pton
from typing import NamedTuple, Protocol

import maxminddb

from host.countries import CODES
from server.store import IPAddress

HEADER = re.compile(r"#\s*(Generated|Vendor|License):\s*(.+)")
LINK = re.compile(r"https?://\S+?/(?=[\s.,]|$)")
MAX_NAME = 200  # bytes that the name of such a copy may have (memfd_create(2))
TEXT_FILES = {4: "geoip", 16: "geoip6"}


class GeoError(Exception):
    """The database cannot be used. The text says why, and what to do."""


class Database(Protocol):
    """A country database. `credit` is the text that its licence asks for."""

    path: Path
    credit: str

    def country(self, address: IPAddress) -> str | None:
        """The country as two small letters (ISO 3166-1), or None if it is not known."""
        ...


def open_database(path: Path) -> Database:
    """Open an MMDB file, or a folder with two text files. Raises GeoError."""
    try:
        if path.is_dir():
            return TextFiles(path)
        check_file(path)
        return Mmdb(path)
    except OSError as error:
        where = Path(os.fsdecode(error.filename or path))
        raise GeoError(f"{where}: {error.strerror or error}") from None


def check_file(path: Path) -> None:
    """Raise GeoError for a pipe or a device, which has no end, and OSError if there is nothing."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise GeoError(
            f"{path}: this is not a file; name an MMDB file, or the folder with tor-geoipdb's two files"
        )


def country_code(code: object) -> str | None:
    """The code of a country, or None: the files also have codes such as ??, EU and AP."""
    return code.lower() if isinstance(code, str) and code.lower() in CODES else None


class CountryRanges(NamedTuple):
    """Sorted ranges of addresses: `width` bytes for each start and end, two letters for each country."""

    width: int
    starts: bytes
    ends: bytes
    codes: bytes

    def lookup(self, packed: bytes) -> str | None:
        row = bisect_right(range(len(self.codes) // 2), packed, key=self.start_of) - 1
        if row < 0 or packed > self.ends[row * self.width : (row + 1) * self.width]:
            return None
        return country_code(self.codes[2 * row : 2 * row + 2].decode("ascii"))

    def start_of(self, row: int) -> bytes:
        return self.starts[row * self.width : (row + 1) * self.width]


class TextFiles:
    """Debian's tor-geoipdb: lines of `FIRST,LAST,COUNTRY` below a header that names maker and licence."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        headers: dict[str, str] = {}
        self.ranges = {
            width: read_ranges(folder / name, width, headers) for width, name in TEXT_FILES.items()
        }
        self.credit = credit_of(headers)

    def country(self, address: IPAddress) -> str | None:
        return self.ranges[len(address.packed)].lookup(address.packed)


def read_ranges(path: Path, width: int, headers: dict[str, str]) -> CountryRanges:
    check_file(path)
    starts, ends, codes = bytearray(), bytearray(), bytearray()
    with path.open(encoding="ascii", errors="replace") as lines:
        for number, (first, last, code) in parse_rows(path, lines, headers):
            try:
                low, high = packed_address(first, width), packed_address(last, width)
                codes += code.encode("ascii") if len(code) == 2 else b"??"
            except (ValueError, OverflowError, OSError):
                raise GeoError(
                    f"{path}:{number}: this is not a range of addresses; install tor-geoipdb again"
                ) from None
            if low > high or (ends and low <= ends[-width:]):
                raise GeoError(f"{path}:{number}: the ranges are not in order; install tor-geoipdb again")
            starts += low
            ends += high
    if not codes:
        raise GeoError(f"{path}: there is no range in this file; install tor-geoipdb again")
    return CountryRanges(width, bytes(starts), bytes(ends), bytes(codes))


def parse_rows(
    path: Path, lines: Iterator[str], headers: dict[str, str]
) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """The rows, with their line numbers. What the header says goes into `headers`."""
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            if found := HEADER.match(line):
                headers[found[1]] = found[2].strip()
            elif (link := LINK.search(line)) and "Vendor" in headers:
                headers.setdefault("Link", link[0])
        elif line.strip():
            parts = line.strip().split(",")
            if len(parts) != 3:
                raise GeoError(f"{path}:{number}: this is not FIRST,LAST,COUNTRY; install tor-geoipdb again")
            yield number, (parts[0], parts[1], parts[2])


def packed_address(text: str, width: int) -> bytes:
    return int(text).to_bytes(4, "big") if width == 4 else inet_pton(AF_INET6, text)


def credit_of(headers: Mapping[str, str]) -> str:
    """One line: whose data this is, its licence and its day."""
    maker = headers.get("Vendor", "Debian's tor-geoipdb")
    link = f" ({headers['Link']})" if "Link" in headers else ""
    rest = [f"licence {headers['License']}"] if "License" in headers else []
    if "Generated" in headers:
        rest.append(f"made {headers['Generated']}")
    return ", ".join([f"{maker}{link}", *rest])


class Mmdb:
    """Any MMDB file that has countries."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with snapshot(path) as name:
                self.reader = maxminddb.open_database(name, maxminddb.MODE_AUTO)
        except (maxminddb.InvalidDatabaseError, ValueError, UnicodeDecodeError):
            raise GeoError(f"{path}: this is not an MMDB file, or it is damaged; get it again") from None
        about = self.reader.metadata()
        day = datetime.fromtimestamp(about.build_epoch, UTC).date()
        self.credit = f"{about.description.get('en') or about.database_type}, made {day.isoformat()}"

    def country(self, address: IPAddress) -> str | None:
        try:
            return country_code(code_in(self.reader.get(address)))
        except (maxminddb.InvalidDatabaseError, ValueError):  # damaged at this place, or a file without IPv6
            return None

    def close(self) -> None:
        self.reader.close()


@contextmanager
def snapshot(path: Path) -> Iterator[str]:
    """The name of a copy in memory, within. The reader maps the file that it opens: were that one cut short,
    by an update in its place or a broken disk, the next look would kill the process. Raises OSError."""
    with path.open("rb") as file, open(os.memfd_create(path.name[:MAX_NAME]), "wb") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        yield f"/proc/self/fd/{copy.fileno()}"


def code_in(record: object) -> object:
    """The code in a record: makers put it in different places."""
    if not isinstance(record, dict):
        return None
    country = record.get("country", record.get("country_code"))
    return country.get("iso_code") if isinstance(country, dict) else country
