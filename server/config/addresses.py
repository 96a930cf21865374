"""Addresses of the web as the file writes them, in their canonical form: origins, hosts and links."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import PlainValidator

AN_ORIGIN = "write an address such as https://call.example.org, with nothing after the host name"
# The last label is no number: browsers read 1.2 as an address.
HOST_NAME = re.compile(r"(?!(.*\.)?[0-9]+$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# What urlsplit accepts although no browser sends it as Origin or Host -> what to write instead.
ODD_IN_ORIGINS = (
    (r"[^\x00-\x7f]", "browsers send this host in ASCII; write it as xn--…"),
    (r"[\x00-\x20\x7f\\]", AN_ORIGIN),
    (r"@", "remove user and password; visitors would see them"),
    (r"[?#]", AN_ORIGIN),
    (r"\*", "a * is not allowed; write each address on its own"),
    (r"\.(:[0-9]*)?/?$", "remove the dot after the host name"),
)


def parse_origin(value: object) -> str:
    """An origin in its canonical form: scheme, host, and port unless it is the scheme's default."""
    text = str(value)
    for pattern, sentence in ODD_IN_ORIGINS:
        if re.search(pattern, text):
            raise ValueError(sentence)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or parts.path not in ("", "/") or parts.port == 0:
        raise ValueError(AN_ORIGIN)
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host_of(parts.hostname or '')}{port}"


def host_of(name: str) -> str:
    """A host as browsers write it. Raises ValueError for another form, or what they cannot reach."""
    if HOST_NAME.fullmatch(name):
        return name
    try:
        address = ip_address(name)
    except ValueError:
        raise ValueError(AN_ORIGIN) from None
    if "%" in name:
        raise ValueError(AN_ORIGIN)
    return f"[{address}]" if address.version == 6 else str(address)


def parse_link(value: object) -> str:
    if not str(value).startswith(("https://", "http://", "/", "mailto:")):
        raise ValueError("write an address that begins with https://, mailto: or /")
    return str(value)


Origin = Annotated[str, PlainValidator(parse_origin)]
