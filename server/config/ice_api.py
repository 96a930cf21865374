"""The section `server.ice_api:`, ICE servers for other web applications: every key and its description."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, Strict

from host.settings import AT_START, Count, Section, as_list
from server.config.addresses import Origin

SHORTEST, LONGEST = 60, 86_400  # seconds: time to begin a call, and a day, after which a leak is harmless


class IceApi(Section):
    """STUN and TURN servers for other web applications, as JSON at /ice, for who knows a token. Without
    token_file there is no such address."""

    token_file: Path | None = Field(
        None,
        description="File with a token of 16 characters or more. To change the token, write several lines: "
        "each of them is right. It is read again at SIGHUP. Other users must not be able to read the file.",
        examples=["/etc/calln/ice.token"],
    )
    origins: Annotated[tuple[Origin, ...], BeforeValidator(as_list)] = Field(
        (),
        description="Sites whose pages may ask by themselves. Each visitor of them can read the token then. "
        "Servers of other applications may always ask.",
        examples=[["https://app.example.org"]],
        json_schema_extra=AT_START,
    )
    credential_seconds: Annotated[int, Strict(), Field(ge=SHORTEST, le=LONGEST)] = Field(
        3600,
        description="How long such a credential can be used to start a call, in seconds. Running calls go "
        "on, unless turn.strict_expiry is set.",
        json_schema_extra=AT_START,
    )
    per_minute: Count = Field(
        60,
        description="Questions from one address in a minute (burst: twice as many), with a right token or a "
        "wrong one. An application that asks for all its users needs more. 0 means no limit.",
        json_schema_extra=AT_START,
    )
    per_minute_in_all: Count = Field(
        1200,
        description="Credentials for all addresses together in a minute (burst: twice as many). 0 means no "
        "limit.",
        json_schema_extra=AT_START,
    )
