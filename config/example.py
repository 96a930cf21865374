"""Writes config.example.yaml from the models, so that the manual and the code say the same.

`make example` writes it; a test compares the two.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.file import Config
from config.yaml_text import SCALARS
from host.settings import is_read_at_start

WIDTH = 100
RESTART = "(restart)"


class Dumper(yaml.SafeDumper):
    """Writes YAML that our loader reads as it was meant."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in SCALARS:
    Dumper.add_implicit_resolver(_tag, _pattern, _first)


def example() -> str:
    """The manual: every key with its description and default, as a file that means the defaults."""
    head = (
        "All keys of the configuration of Calln, with their defaults. Keep only the keys that you change.",
        "A key after a # has no default, but an example. Check your file with: calln check --config FILE",
        f"Changes of keys with {RESTART} need a restart; for the others a reload is enough.",
    )
    lines = [f"# {line}" for line in head]
    for name, field in Config.model_fields.items():
        lines += ["", *section(name, field.annotation, "")]
    return "\n".join(lines) + "\n"


def section(name: str, model: Any, indent: str) -> Iterator[str]:
    yield from comment(model.__doc__, indent)
    yield f"{indent}{name}:"
    for key, field in model.model_fields.items():
        yield ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from section(key, field.annotation, indent + "  ")
            continue
        yield from comment(described(field), indent + "  ")
        mark, value = ("# ", field.examples[0]) if field.examples else ("", yaml_value(field.default))
        for line in yaml.dump({key: value}, Dumper=Dumper, sort_keys=False, width=200).splitlines():
            yield f"{indent}  {mark}{line}"


def described(field: FieldInfo) -> str:
    return f"{field.description}{' ' + RESTART if is_read_at_start(field) else ''}"


def comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )


def yaml_value(value: Any) -> Any:
    """A default, as YAML writes it."""
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return [yaml_value(item) for item in value]
    return str(value) if isinstance(value, Path) else value


if __name__ == "__main__":
    print(example(), end="")
