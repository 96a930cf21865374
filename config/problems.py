"""Problems of a configuration file, one line each: file:line:column: key: what to write."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic_core import ErrorDetails

EX_CONFIG = 78  # sysexits.h: something in the configuration is wrong; systemd does not try again
WRONG_NAME = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)

Located = tuple[str, ...]


class ConfigError(ValueError):
    """The configuration cannot be used. Each problem is one line: where it is and what to write."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(one_line, problems))
        super().__init__("\n".join(self.problems))


class Unreadable(ConfigError):
    """The machine cannot give us a file of the configuration now; the file itself may be right."""


def file_problem(path: Path, error: OSError, advice: str = "") -> ConfigError:
    """What to raise for a file: after a wrong name another start does not help, after a full disk it may."""
    kind = ConfigError if error.errno in WRONG_NAME else Unreadable
    return kind([f"{path}: {error.strerror or error}{advice}"])


def one_line(text: str) -> str:
    """Text from a file may contain control characters; they must not reach a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def is_consequence(problem: ErrorDetails) -> bool:
    """Whether a list only seems too short because its entries were refused, which is reported already."""
    return problem["type"] == "too_short" and bool(problem["input"])


def explain(problem: ErrorDetails, root: yaml.Node | None, path: Path, model: type[BaseModel]) -> str:
    """One problem as `file:line:column: key: what to write`."""
    loc = tuple(str(part) for part in problem["loc"])
    mark, named = locate(root, loc, at_key=problem["type"] == "extra_forbidden")
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
    return f"{where}: {'.'.join(named) or 'the file'}: {what_to_write(problem, loc, model)}"


def locate(node: yaml.Node | None, loc: Located, *, at_key: bool) -> tuple[yaml.Mark | None, Located]:
    """The position of the deepest node on the way `loc`, and the part of `loc` that leads to it."""
    mark, named = (node.start_mark if node else None), loc[:0]
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                break
            node, mark = pair[1], pair[0].start_mark if at_key else pair[1].start_mark
        elif isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            node = node.value[int(part)]
            mark = node.start_mark
        elif not (
            isinstance(node, yaml.ScalarNode) and part == "0"
        ):  # a list of one, written without the dash
            break
        named = (*named, part)
    return mark, named


# pydantic's type of a problem -> our sentence; the words in braces come from the problem.
SENTENCES = {
    "model_type": "write keys and values here, one `key: value` on each line",
    "dict_type": "write keys and values here, one `key: value` on each line",
    "tuple_type": "write a list here, one `- value` on each line",
    "too_short": "write at least one value",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "string_type": "must be text; put it in quotes",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
}


def what_to_write(problem: ErrorDetails, loc: Located, model: type[BaseModel]) -> str:
    """What is wrong and what to write instead."""
    if problem["type"] == "extra_forbidden":
        known = list(model_at(model, loc[:-1]).model_fields)
        near = difflib.get_close_matches(loc[-1], known, 1)
        return (
            f"unknown key; did you mean {near[0]}?"
            if near
            else f"unknown key; the keys here are {', '.join(known)}"
        )
    if problem["type"] == "missing":
        return f"{loc[-1]} is missing; add it"
    if known_sentence := SENTENCES.get(problem["type"]):
        return known_sentence.format(**problem.get("ctx", {}))
    return problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def model_at(model: type[BaseModel], loc: Located) -> type[BaseModel]:
    """The model of the section that `loc` leads to."""
    inner: object = model
    for part in loc:
        if get_origin(inner) is tuple:  # a list of them: the part is a number
            inner = get_args(inner)[0]
        else:
            inner = cast(type[BaseModel], inner).model_fields[part].annotation
    return cast(type[BaseModel], inner)
