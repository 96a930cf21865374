"""The YAML of the configuration file: nodes that know their line, and plain values."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import yaml

from config.problems import ConfigError, file_problem

MAX_BYTES = 1 << 20  # a configuration has a page or two; a larger file is another file
MAX_DIGITS = 20  # no key has a longer number, and reading thousands of digits is slow

# What PyYAML says -> what it means for the person who wrote the file.
SENTENCES = (
    ("found character '\\t'", "a tab is here; use spaces to indent"),
    ("could not determine a constructor", "this tag is unknown; remove it (the word that begins with !)"),
    (
        "mapping values are not allowed",
        "a : is not allowed here; check the indentation, or put the text in quotes",
    ),
    ("could not find expected ':'", "a : is missing here, or the indentation is wrong"),
    ("expected <block end>", "the indentation is wrong: all keys of one section begin in the same column"),
    ("found unexpected end of stream", "the file ends before a quote is closed"),
    (
        "expected the node content, but found '<stream end>'",
        "the file ends before a value; is a bracket open?",
    ),
    ("expected ',' or", "a comma or the closing bracket is missing before this"),
)

# YAML 1.2's core schema: tag, the texts that have it, and the characters that they can begin with.
SCALARS = (
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), ["t", "f"]),
    ("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")),
    ("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+\.[0-9]*$"), list("-+0123456789")),
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""]),
)


NO_ALIASES = "aliases such as *name are not allowed; write the value itself"


class Loader(yaml.SafeLoader):
    """YAML with the scalars of its core schema: `off` is a word, 12:30 is not a number; no aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs have no type
            raise yaml.MarkedYAMLError(problem=NO_ALIASES, problem_mark=mark)
        return super().compose_node(parent, index)


def decimal(_loader: Loader, node: yaml.ScalarNode) -> int:
    """A leading zero means nothing (YAML 1.2 §10.3.2); in YAML 1.1 it meant base 8."""
    if len(node.value) > MAX_DIGITS or not SCALARS[1][1].match(node.value):
        raise yaml.MarkedYAMLError(problem="this is not a whole number", problem_mark=node.start_mark)
    return int(node.value)


Loader.add_constructor("tag:yaml.org,2002:int", decimal)
for _tag, _pattern, _first in SCALARS:
    Loader.add_implicit_resolver(_tag, _pattern, _first)


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError([f"{path}: this is not a file; write the name of a YAML file"])
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise file_problem(path, error) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path}: the file is larger than {MAX_BYTES >> 20} MiB; is it the right one?"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}:1: this is not UTF-8; save the file as UTF-8"]) from None


def compose(text: str, path: Path) -> tuple[yaml.Node | None, object]:
    """The file as nodes, which know their line, and as plain values. Raises ConfigError."""
    try:
        loader = Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, {}
        refuse_repeated_keys(root)
        return root, loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError([f"{path}{where}: {plain_sentence(error)}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: {' '.join(str(error).split())}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: too many values inside each other"]) from None
    except (ValueError, LookupError, TypeError, AttributeError):  # PyYAML, if a tag and its value do not fit
        raise ConfigError(
            [f"{path}: a value does not fit its tag; remove the tag (the word that begins with !)"]
        ) from None


def plain_sentence(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML says, in plain words where we know them."""
    problem = error.problem or error.context or "this is not YAML"
    return next((words for sign, words in SENTENCES if problem.startswith(sign)), problem)


def refuse_repeated_keys(node: yaml.Node) -> None:
    """A key that is there twice would silently lose one of its values."""
    children: list[yaml.Node] = list(node.value) if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be one word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} is here twice; remove one of them",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
            children.append(value)
    for child in children:
        refuse_repeated_keys(child)
