"""config.example.yaml, written from the models, so that the manual cannot say anything else than the code.

`make example` writes it anew; a test compares.
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
    """Writes what the configuration's loader reads."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in SCALARS:
    Dumper.add_implicit_resolver(_tag, _pattern, _first)


def example() -> str:
    """The manual: every key with its sentence and its default, as a file that loads as the defaults."""
    head = (
        "The whole configuration of Calln. Every key is here with its default; keep only those you change.",
        "A key without a default has an example behind a #. Check yours with: calln check --config FILE",
        f"A change to a key marked {RESTART} needs a restart; for the others a reload is enough.",
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
    """A default as the file would write it."""
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return [yaml_value(item) for item in value]
    return str(value) if isinstance(value, Path) else value


if __name__ == "__main__":
    print(example(), end="")
