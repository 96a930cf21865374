"""Countries from both kinds of file, and a sentence for every file that is not one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from server.store.geo import Database, GeoError, Mmdb, open_database
from tests.house import ROOT
from tests.server import mmdb

HEADER = """# This file has been converted from a location database
# in the source code repository at https://example.org/source/ .
# Generated: Thu, 25 Jun 2026 04:33:59 GMT
# Vendor:    Some Project
# License:   CC BY-SA 4.0
#
# This database has been obtained from https://location.example.org/
# Find the licence at https://example.org/licences/by-sa/
#
"""
GEOIP = HEADER + "16777216,16777471,AU\n16777472,16778239,??\n16778240,16779263,EU\n16781312,16785407,JP\n"
GEOIP6 = (
    HEADER + "2001:200::,2001:200:134:ffff:ffff:ffff:ffff:ffff,JP\n"
    "2001:200:135::,2001:200:135::,US\n2001:200:135::1,2001:200:135:ffff:ffff:ffff:ffff:ffff,JP\n"
)
NETWORKS = {
    "1.0.0.0/24": {"country": {"iso_code": "AU", "names": {"en": "Australia"}}},
    "1.0.1.0/24": {"country_code": "??"},
    "1.0.4.0/22": {"country": "EU"},
    "1.0.16.0/20": {"country_code": "JP"},
}

IPV4 = {
    "1.0.0.0": "au",
    "1.0.0.255": "au",
    "1.0.1.0": None,
    "1.0.4.7": None,
    "1.0.15.255": None,
    "1.0.16.0": "jp",
    "1.0.31.255": "jp",
    "1.0.32.0": None,
    "0.0.0.0": None,
    "255.255.255.255": None,
}
IPV6 = {
    "2001:200::": "jp",
    "2001:200:134:ffff:ffff:ffff:ffff:ffff": "jp",
    "2001:200:135::": "us",
    "2001:200:135::1": "jp",
    "2001:200:136::": None,
    "::": None,
    "::1": None,
    "fe80::1%eth0": None,
}


def folder(path: Path, geoip: str = GEOIP, geoip6: str = GEOIP6) -> Path:
    (path / "geoip").write_text(geoip)
    (path / "geoip6").write_text(geoip6)
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Database:
    return open_database(folder(tmp_path))


@pytest.fixture
def binary(tmp_path: Path) -> Iterator[Mmdb]:
    path = tmp_path / "countries.mmdb"
    path.write_bytes(mmdb.write(NETWORKS))
    database = open_database(path)
    assert isinstance(database, Mmdb)
    yield database
    database.close()


def test_the_text_files(texts: Database) -> None:
    for address, country in {**IPV4, **IPV6}.items():
        assert texts.country(ip_address(address)) == country, address


def test_an_mmdb(binary: Mmdb) -> None:
    for address, country in IPV4.items():
        assert binary.country(ip_address(address)) == country, address
    assert binary.country(ip_address("2001:200::")) is None


def test_the_credit(texts: Database, binary: Mmdb) -> None:
    assert texts.credit == (
        "Some Project (https://location.example.org/), licence CC BY-SA 4.0, "
        "made Thu, 25 Jun 2026 04:33:59 GMT"
    )
    assert binary.credit == "A test database by nobody, made 2025-06-15"


def test_no_header_is_no_obstacle(tmp_path: Path) -> None:
    database = open_database(folder(tmp_path, "1,2,DE\n", "::,::1,DE\n"))
    assert database.credit == "Debian's tor-geoipdb"


BROKEN = {
    "empty": ("", "no range"),
    "only a header": (HEADER, "no range"),
    "words": ("hello\n", ":1: this is not FIRST,LAST,COUNTRY"),
    "no number": ("a,b,DE\n", ":1: this is not a range"),
    "too large": ("1,2,DE\n4294967296,4294967297,DE\n", ":2: this is not a range"),
    "backwards": ("5,4,DE\n", ":1: the ranges are not in order"),
    "out of order": ("5,6,DE\n1,2,DE\n", ":2: the ranges are not in order"),
    "overlapping": ("1,5,DE\n5,6,DE\n", ":2: the ranges are not in order"),
    "cut off": (GEOIP + "16785408,", ": this is not FIRST,LAST,COUNTRY"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_text_files(tmp_path: Path, name: str) -> None:
    text, words = BROKEN[name]
    with pytest.raises(GeoError, match="geoip") as refused:
        open_database(folder(tmp_path, text))
    assert words in str(refused.value)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(GeoError, match="geoip: No such file"):
        open_database(tmp_path)
    with pytest.raises(GeoError, match=r"x\.mmdb: No such file"):
        open_database(tmp_path / "x.mmdb")


@pytest.mark.parametrize("data", [b"", b"hello", mmdb.METADATA, mmdb.write(NETWORKS)[:-40]])
def test_broken_mmdb(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.mmdb"
    path.write_bytes(data)
    with pytest.raises(GeoError, match="not an MMDB file"):
        open_database(path)


def test_an_mmdb_damaged_inside_knows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "damaged.mmdb"
    data = mmdb.write(NETWORKS)
    path.write_bytes(data.replace(b"country", b"\xff\xff\xff\xff\xff\xff\xff"))
    database = open_database(path)
    assert isinstance(database, Mmdb)
    assert database.country(ip_address("1.0.0.0")) is None
    database.close()


LOOKS = """
import sys
from ipaddress import ip_address
from pathlib import Path
from server.store.geo import open_database
path, *texts = sys.argv[1:]
database = open_database(Path(path))
Path(path).write_bytes(b"")
print(*(database.country(ip_address(text)) for text in texts))
"""


def test_a_file_that_is_cut_short_kills_nobody(tmp_path: Path) -> None:
    """As `cp` does it, which writes a new file in the place of the old one."""
    path = tmp_path / "countries.mmdb"
    path.write_bytes(mmdb.write(NETWORKS))
    known = open_database(path)
    addresses = list(IPV4)
    done = subprocess.run(
        [sys.executable, "-c", LOOKS, path, *addresses], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(known.country(ip_address(text))) for text in addresses]


@pytest.mark.parametrize("name", ["countries.mmdb", "geoip", "geoip6"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    folder(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(GeoError, match=f"{name}: this is not a file"):
        open_database(tmp_path / name if name.endswith("mmdb") else tmp_path)
