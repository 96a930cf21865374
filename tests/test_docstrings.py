"""Public interfaces say in one fixed form what goes in, what comes out and what is raised."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator

import pytest

from tests.house import ROOT, sources

Function = ast.FunctionDef | ast.AsyncFunctionDef

# File -> its public classes and functions; empty: all of them.
INTERFACES: dict[str, tuple[str, ...]] = {
    "turn/engines/__init__.py": ("Engine", "Above", "Streams"),
    "turn/core/relay.py": ("Relay",),
    "turn/credentials.py": (),
    "turn/service/service.py": ("Service",),
    "turn/workers/single.py": ("Workers",),
    "server/store/__init__.py": ("Store",),
    "server/store/sqlite.py": ("open_store",),
    "server/signalling/lobby.py": ("Lobby",),
    "server/signalling/messages.py": (),
    "server/signalling/vocabulary.py": (),
    "server/signalling/server_messages.py": (),
}
# What stands in them for their own use, beside what begins with `_`.
INTERNAL = re.compile(
    r"Service\.(open_relay|close_relay|unlink_flow|pin_while_sharing|expire)"
    r"|Lobby\.(on_\w+|take_effects|hello_reply|resume|move|continue_visit|notify_partner|set_wishes|enqueue"
    r"|partner_address|end_call|remove|kick)"
    r"|parse_countries|parse_candidate|read_id|read_field|FieldRule|MessageType|(\w+\.)?_\w+"
)
SECTION = re.compile(r"^(Args|Returns|Raises|See):", re.MULTILINE)
ENTRY = re.compile(r"^    (\w+): (.*)$", re.MULTILINE)
ORDER = ["Args", "Returns", "Raises", "See"]
EXCEPTIONS = {name for name in vars(builtins) if name.endswith("Error")} | {
    node.name
    for path in sources()
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.ClassDef)
    and " ".join(map(ast.unparse, node.bases)).endswith(("Error", "Exception"))
}


def described() -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """Each public class, function and method, with its name."""
    for place, names in INTERFACES.items():
        for node in ast.parse((ROOT / place).read_text()).body:
            if isinstance(node, ast.ClassDef | Function) and node.name in (names or (node.name,)):
                yield node.name, node
                inside = node.body if isinstance(node, ast.ClassDef) else []
                yield from ((f"{node.name}.{one.name}", one) for one in inside if isinstance(one, Function))


PUBLIC = {name: node for name, node in described() if not INTERNAL.fullmatch(name)}


def arguments(node: ast.ClassDef | Function) -> list[str]:
    """Of a class: what its constructor takes, which for a record are its fields."""
    if isinstance(node, Function):
        args = node.args
        every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
        return [one.arg for one in every if one is not None and one.arg != "self"]
    methods = [one for one in node.body if isinstance(one, Function)]
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
    if methods:  # the fields with a default are then its state
        fields = [one for one in fields if one.value is None and node.decorator_list]
    named = [one.target.id for one in fields if isinstance(one.target, ast.Name)]
    return next((arguments(one) for one in methods if one.name == "__init__"), named)


def gives_back(node: ast.ClassDef | Function) -> bool:
    return isinstance(node, Function) and ast.unparse(node.returns or ast.Constant(None)) != "None"


def raised(node: ast.ClassDef | Function) -> set[str]:
    """The exceptions that a function itself raises by name."""
    calls = [one.exc for one in ast.walk(node) if isinstance(one, ast.Raise) and isinstance(node, Function)]
    return {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}


def sections(node: ast.ClassDef | Function) -> list[tuple[str, str]]:
    parts = SECTION.split(ast.get_docstring(node) or "")
    return list(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_docstring_has_the_one_form(name: str) -> None:
    node = PUBLIC[name]
    text = dict(sections(node))
    entries = {title: ENTRY.findall(text.get(title, "")) for title in ("Args", "Raises")}
    errors = {error for error, _ in entries["Raises"]}
    assert SECTION.split(ast.get_docstring(node) or "")[0].strip(), "it does not say what it is for"
    assert [title for title, _ in sections(node)] == [title for title in ORDER if title in text]
    assert [argument for argument, _ in entries["Args"]] == arguments(node)
    assert ("Returns" in text) == gives_back(node)
    assert raised(node) <= errors <= EXCEPTIONS
    assert re.fullmatch(r" .*RFC \d.*\.", text.get("See", " RFC 0."))
    assert not [said for rows in entries.values() for _, said in rows if re.match("[A-Z][a-z ]", said)]
