"""The drawing of the house shows the imports as they are; `make house` draws it anew."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.house import PICTURE, ROOMS, arrows, drawn, graph, lines, purpose, reached

OUT_OF_DATE = "docs/house.svg is out of date: make house"
ARROW = "->"


@pytest.fixture(scope="module")
def picture() -> str:
    return unescape(PICTURE.read_text())


def titles(picture: str) -> set[str]:
    return set(re.findall(r"<title>([^<]*)</title>", picture))


def test_it_shows_every_folder_and_what_it_is_for(picture: str) -> None:
    shown = {title for title in titles(picture) if title.split("/")[0] in ROOMS and ARROW not in title}
    assert shown == set(arrows()), OUT_OF_DATE
    for name in arrows():
        assert purpose(name), f"{name}/__init__.py does not say what the folder is for"
        assert f">{purpose(name)}<" in picture, OUT_OF_DATE


def test_its_arrows_are_the_imports(picture: str) -> None:
    ground = {("turn", "host")} - drawn(arrows())  # not seen; it keeps the ground lowest
    shown = {tuple(title.split(ARROW)) for title in titles(picture) if ARROW in title} - ground
    assert shown == drawn(arrows()), OUT_OF_DATE


def test_its_numbers_are_right_to_a_tenth(picture: str) -> None:
    shown = re.findall(r"<title>([^<>]*)</title>(?:(?!<title>).)*?files?, ([\d,]+) lines", picture, re.DOTALL)
    said = {name: int(number.replace(",", "")) for name, number in shown if ARROW not in name}
    counted = {name: count for name, count in lines().items() if name in arrows()}
    wrong = {name for name, count in counted.items() if abs(said[name] - count) > max(count / 10, 10)}
    assert not wrong, OUT_OF_DATE


def test_what_is_left_out_is_reached_all_the_same() -> None:
    kept: dict[str, frozenset[str]] = {
        name: frozenset(lower for upper, lower in drawn(arrows()) if upper == name) for name in arrows()
    }
    for name in arrows():
        assert reached(name, kept) == reached(name, arrows())


def test_a_longer_way_replaces_an_arrow() -> None:
    every = {"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset[str]()}
    assert drawn(every) == {("a", "b"), ("b", "c")}


def test_the_graph_names_each_room() -> None:
    text = "\n".join(graph())
    assert all(f'"cluster_{room}"' in text for room in ROOMS)
