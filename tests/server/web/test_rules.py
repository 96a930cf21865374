"""Rules are shown as they are written, but for headings and lists, and never as HTML of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.web.rules import MAX_RULES, as_html, check_rules, version_of

RULES = [
    ("Be kind.", "<p>Be kind.</p>"),
    ("One\ntwo\n\nthree", "<p>One<br>two</p>\n<p>three</p>"),
    ("# Rules\n- No spam\n* No <b>HTML</b>",
     "<h3>Rules</h3>\n<ul><li>No spam</li><li>No &lt;b&gt;HTML&lt;/b&gt;</li></ul>"),
    ("#hashtag and\n-5 degrees", "<p>#hashtag and<br>-5 degrees</p>"),
    ('"><script>alert(1)</script>', "<p>&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "html"), RULES)
def test_what_a_text_becomes(text: str, html: str) -> None:
    assert as_html(text) == html


@given(st.text())
def test_nothing_in_a_text_is_html(text: str) -> None:
    left = as_html(text)
    for tag in ("h3", "ul", "li", "p"):
        left = left.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    assert "<" not in left.replace("<br>", "")


@pytest.mark.parametrize(
    ("text", "says"), [(" \n", "no rules"), ("é" * (MAX_RULES // 2 + 1), "longer than 16384 bytes")]
)
def test_what_is_no_text_to_show(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_rules(text)
    check_rules("é" * (MAX_RULES // 2))


def test_other_rules_are_another_version() -> None:
    assert len({version_of("a", False), version_of("b", False), version_of("a", True)}) == 3
    assert version_of("a", True) == version_of("a", True)
