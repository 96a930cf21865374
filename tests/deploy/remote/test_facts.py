"""What a machine says of itself, as values."""

from __future__ import annotations

import json

from deploy.agent.facts import machine_facts
from deploy.remote.facts import Holder, RemoteFile, facts_order, parse_facts
from deploy.remote.render import SECRET, Traits
from deploy.remote.steps import File
from tests.deploy.minds import machine


def test_this_machine_s_own_answer_is_understood() -> None:
    asked = facts_order(["/etc/passwd", "/etc/shadow", "/nowhere"], ["no-such-package"])
    facts = parse_facts(json.loads(json.dumps(machine_facts(asked))))
    assert set(facts.files) == {"/etc/passwd", "/etc/shadow"}
    assert facts.files["/etc/shadow"].text is None
    assert "root:" in (facts.files["/etc/passwd"].text or "")
    assert facts.packages == frozenset()
    assert facts.traits.container == facts.container


def test_a_file_is_like_another_in_text_mode_and_owner() -> None:
    file = File("/x", "text\n")
    digest = "b9e68e1bea3e5b19ca6b2f98b73a54b73daafaa250484902e09982e07a12e733"
    there = RemoteFile(digest, 0o644, "root", "root", "text\n")
    assert there.has_same(file)
    assert not there.has_same(file._replace(text="text"))
    assert not there.has_same(file._replace(mode=0o640))
    assert not there.has_same(file._replace(group="calln"))


def test_a_secret_is_known_by_its_digest() -> None:
    digest = "b9e68e1bea3e5b19ca6b2f98b73a54b73daafaa250484902e09982e07a12e733"
    known = {"sha256": digest, "mode": 0o640, "owner": "root", "group": "calln", "text": None}
    there = machine(files={SECRET: known})
    assert there.has_secret("text\n")
    assert not there.has_secret("text\nolder\n")
    assert not there.has_secret(None)
    assert machine().has_secret(None)
    assert not machine().has_secret("text\n")


def test_traits_and_states() -> None:
    facts = machine(
        ipv6=False,
        chains=["ip filter INPUT"],
        units={"a.service": "active", "b.service": "deactivating"},
        holders=[{"protocol": "tcp", "port": 80, "who": "x"}],
    )
    assert facts.traits == Traits(False, False, ("ip filter INPUT",))
    assert (facts.is_active("a.service"), facts.is_active("b.service")) == (True, False)
    assert facts.holders == (Holder("tcp", 80, "x"),)
