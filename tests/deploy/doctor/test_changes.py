"""Told once, and again when it is over."""

from __future__ import annotations

from deploy.doctor.changes import changes_since, key_of
from deploy.doctor.machine import Finding

DISK = Finding(False, "The disk of /opt has 12 MiB left.", "make room")
RELAY = Finding(False, "calln-relay does not run (failed)", "calln deploy logs may say why")


def test_a_trouble_is_told_once_though_its_numbers_change() -> None:
    first = changes_since({}, [DISK])
    assert (first.begun, first.over) == ((DISK,), ())
    later = changes_since(first.told, [DISK._replace(text="The disk of /opt has 9 MiB left.")])
    assert not later
    assert later.told == {key_of(DISK.text): "The disk of /opt has 9 MiB left."}


def test_what_is_over_is_told_with_its_last_words() -> None:
    told = changes_since({}, [DISK, RELAY]).told
    found = changes_since(told, [RELAY])
    assert (found.begun, found.over) == ((), (DISK.text,))
    assert bool(found)
    assert changes_since(found.told, [DISK, RELAY]).begun == (DISK,)


def test_the_words_of_a_mail() -> None:
    found = changes_since({}, [DISK, RELAY])
    assert found.subject("call.example.org") == "Calln on call.example.org: 2 new troubles"
    assert found.message_text().splitlines() == [
        "Not well: The disk of /opt has 12 MiB left.",
        "    make room",
        "Not well: calln-relay does not run (failed)",
        "    calln deploy logs may say why",
    ]
    partly = changes_since(found.told, [RELAY])
    assert partly.subject("a") == "Calln on a: something is well again"
    assert partly.message_text() == f"Over: {DISK.text}\nTold before, and still not well: 1.\n"
    assert changes_since(partly.told, []).subject("a") == "Calln on a: all is well again"
