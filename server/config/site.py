"""The section `site:`, what visitors see of the service: every key, its default and its description."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, field_validator

from host.settings import AT_START, Section, Switch, as_list
from server.config.addresses import Origin, parse_link
from server.languages.known import known


def parse_colour(value: object) -> str:
    """In small letters. YAML takes an unquoted # for the beginning of a comment, which leaves nothing."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", str(value)):
        raise ValueError('write a colour such as "#2c6e63", in quotes')
    return str(value).lower()


class Site(Section):
    """What visitors see of the service, and the folder for what must survive a restart."""

    name: Annotated[str, Field(min_length=1, max_length=60)] = Field(
        "Calln", description="Name that the page shows.", json_schema_extra=AT_START
    )
    url: Origin | None = Field(
        None,
        description="Address that visitors open. Without it: only 127.0.0.1, localhost and [::1], at the "
        "ports in server.listen.",
        examples=["https://call.example.org"],
        json_schema_extra=AT_START,
    )
    more_urls: Annotated[tuple[Origin, ...], BeforeValidator(as_list)] = Field(
        (),
        description="More addresses that visitors may open. Their names are in the certificate, too.",
        examples=[["https://www.example.org"]],
        json_schema_extra=AT_START,
    )
    matching: Literal["random", "link", "both"] = Field(
        "both",
        description="How visitors meet: random: anybody who waits; link: only by a link that one sends to "
        "the other; both.",
        json_schema_extra=AT_START,
    )
    links: dict[str, Annotated[str, PlainValidator(parse_link)]] = Field(
        {},
        description="Links at the bottom of the page: text and address.",
        examples=[{"Imprint": "https://example.org/imprint"}],
        json_schema_extra=AT_START,
    )
    languages: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        (),
        description="Languages of the page. A browser that asks for none of them gets the first one. Empty: "
        "all that there are, English first.",
        examples=[["de", "en"]],
        json_schema_extra=AT_START,
    )
    heading: Annotated[str, Field(min_length=1, max_length=80)] | None = Field(
        None,
        description="The heading above Start, in place of ours, which is in the language of the visitor.",
        examples=["Talk with somebody from the club"],
        json_schema_extra=AT_START,
    )
    colour: Annotated[str, PlainValidator(parse_colour)] = Field(
        "#2c6e63",
        description="The colour of buttons and links. Where it could not be read, it is made darker, or on "
        "dark pages lighter.",
        json_schema_extra=AT_START,
    )
    logo: str | None = Field(
        None,
        description="An SVG or PNG file of up to 32 KiB, beside the name and as the icon of the page.",
        examples=["/etc/calln/logo.svg"],
        json_schema_extra=AT_START,
    )
    rules_file: Path | None = Field(
        None,
        description="File with rules, which everybody accepts once before the first call, and again when "
        "they change. Lines that begin with # are headings, with - rows of a list.",
        examples=["/etc/calln/rules.txt"],
        json_schema_extra=AT_START,
    )
    rules: str = Field(
        "",
        description="The same rules in this file, in place of rules_file.",
        json_schema_extra=AT_START,
    )
    adult: Switch = Field(
        False,
        description="Ask visitors to say, once before the first call, that they are of age.",
        json_schema_extra=AT_START,
    )
    password_file: Path | None = Field(
        None,
        description="File with a password of one line. Visitors must enter it before they see the page and "
        "can call. It is read again at SIGHUP: then everybody must enter the new password; running calls go "
        "on. Without it everybody can call.",
        examples=["/etc/calln/site.password"],
    )
    state_dir: Path = Field(
        Path(".state"),
        description="Folder for the ban list, the call log and generated secrets.",
        json_schema_extra=AT_START,
    )

    @field_validator("languages")
    @classmethod
    def check_languages(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [code for code in codes if code not in known()]:
            raise ValueError(f"there is no {unknown[0]}; there are {', '.join(known())}")
        return tuple(dict.fromkeys(codes))

    @field_validator("rules")
    @classmethod
    def refuse_rules_twice(cls, rules: str, info: ValidationInfo) -> str:
        if rules and info.data.get("rules_file"):
            raise ValueError("keep either site.rules or site.rules_file")
        return rules
