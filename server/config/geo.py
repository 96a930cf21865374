"""The section `geo:`, where countries come from: its key, its default and its description."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from host.settings import AT_START, Section


class Geo(Section):
    """Countries of visitors, from a local file. Addresses of visitors are sent to nobody."""

    database: Path | None = Field(
        None,
        description="An MMDB file, or the folder with geoip and geoip6 of Debian's package tor-geoipdb. "
        "Without it countries are unknown, and visitors cannot choose one.",
        examples=["/usr/share/tor"],
        json_schema_extra=AT_START,
    )
