"""From an address to a country, by local files only: an MMDB, or the two texts of Debian's tor-geoipdb."""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from socket import AF_INET6, inet_pton
from typing import NamedTuple, Protocol

import maxminddb

from server.store.countries import NAMES

Address = IPv4Address | IPv6Address

HEADER = re.compile(r"#\s*(Generated|Vendor|License):\s*(.+)")
LINK = re.compile(r"https?://\S+?/(?=[\s.,]|$)")
TEXT_FILES = {4: "geoip", 16: "geoip6"}


class GeoError(Exception):
    """The database cannot be used; the text says why and what to do."""


class Database(Protocol):
    """Where countries come from. `credit` is what its licence wants said."""

    path: Path
    credit: str

    def country(self, address: Address) -> str | None:
        """The two small letters of ISO 3166-1; None: not known."""
        ...


def open_database(path: Path) -> Database:
    """Raises GeoError."""
    try:
        if path.is_dir():
            return TextFiles(path)
        check_file(path)
        return Mmdb(path)
    except OSError as error:
        where = Path(os.fsdecode(error.filename or path))
        raise GeoError(f"{where}: {error.strerror or error}") from None


def check_file(path: Path) -> None:
    """Raises GeoError for a pipe or a device, which would be read for ever, and OSError for nothing."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise GeoError(f"{path}: this is no file; name an MMDB file, or the folder of tor-geoipdb's two")


def country_code(code: object) -> str | None:
    """A country's code; the files also hold ??, EU, AP and the like, which are none."""
    return code.lower() if isinstance(code, str) and code.lower() in NAMES else None


class CountryRanges(NamedTuple):
    """Sorted ranges of addresses of one width, each address as its bytes, all in three blobs."""

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
    """Debian's tor-geoipdb: lines of `first,last,COUNTRY` below a header that names maker and licence."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        headers: dict[str, str] = {}
        self.ranges = {
            width: read_ranges(folder / name, width, headers) for width, name in TEXT_FILES.items()
        }
        self.credit = credit_of(headers)

    def country(self, address: Address) -> str | None:
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
                raise GeoError(f"{path}:{number}: this is no range of addresses") from None
            if low > high or (ends and low <= ends[-width:]):
                raise GeoError(f"{path}:{number}: the ranges are not in order; is the file damaged?")
            starts += low
            ends += high
    if not codes:
        raise GeoError(f"{path}: there is no range in this file; install tor-geoipdb's again")
    return CountryRanges(width, bytes(starts), bytes(ends), bytes(codes))


def parse_rows(
    path: Path, lines: Iterator[str], headers: dict[str, str]
) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """The numbered rows; what the header says goes into `headers`."""
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            if found := HEADER.match(line):
                headers[found[1]] = found[2].strip()
            elif (link := LINK.search(line)) and "Vendor" in headers:
                headers.setdefault("Link", link[0])
        elif line.strip():
            parts = line.strip().split(",")
            if len(parts) != 3:
                raise GeoError(f"{path}:{number}: a row is FIRST,LAST,COUNTRY")
            yield number, (parts[0], parts[1], parts[2])


def packed_address(text: str, width: int) -> bytes:
    return int(text).to_bytes(4, "big") if width == 4 else inet_pton(AF_INET6, text)


def credit_of(headers: Mapping[str, str]) -> str:
    """One line in words: whose data, under which licence, of which day."""
    maker = headers.get("Vendor", "Debian's tor-geoipdb")
    link = f" ({headers['Link']})" if "Link" in headers else ""
    rest = [f"licence {headers['License']}"] if "License" in headers else []
    if "Generated" in headers:
        rest.append(f"made {headers['Generated']}")
    return ", ".join([f"{maker}{link}", *rest])


class Mmdb:
    """Any MMDB with a country in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.reader = maxminddb.open_database(path, maxminddb.MODE_AUTO)
        except (maxminddb.InvalidDatabaseError, ValueError, UnicodeDecodeError):
            raise GeoError(f"{path}: this is no MMDB file, or a damaged one") from None
        about = self.reader.metadata()
        day = datetime.fromtimestamp(about.build_epoch, UTC).date()
        self.credit = f"{about.description.get('en') or about.database_type}, made {day.isoformat()}"

    def country(self, address: Address) -> str | None:
        try:
            return country_code(code_in(self.reader.get(address)))
        except (maxminddb.InvalidDatabaseError, ValueError):  # damaged here, or IPv6 in a file of IPv4
            return None

    def close(self) -> None:
        self.reader.close()


def code_in(record: object) -> object:
    """The country's code in a record, wherever its maker put it."""
    if not isinstance(record, dict):
        return None
    country = record.get("country", record.get("country_code"))
    return country.get("iso_code") if isinstance(country, dict) else country
