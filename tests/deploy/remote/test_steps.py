"""Steps say themselves, files by their difference, secrets not at all."""

from __future__ import annotations

import pytest

from deploy.remote.steps import (
    AddRelease,
    File,
    Install,
    Issue,
    Prune,
    Put,
    Remove,
    Run,
    Step,
    Switch,
    described,
    diff_text,
)

FILE = File("/etc/x", "one\ntwo\n")
SECRET = File("/etc/s", "canary\n", 0o640, "root", "calln")


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Install(("certbot", "ufw")), "Install the Debian packages certbot, ufw."),
        (Put(FILE, None, False), "Write /etc/x."),
        (Put(FILE, "one\n", True), "Change /etc/x."),
        (AddRelease("1-a", "1", None, FILE), "Add the release 1-a."),
        (
            AddRelease("1-b", "1", "1-a", FILE),
            "Add the release 1-b: the code of 1-a with another configuration.",
        ),
        (Remove("/x"), "Remove /x."),
        (Run(("true",), "Do nothing."), "Do nothing."),
        (Switch(None, "b", ("turn",)), "Switch the relay to b; running calls go on."),
        (
            Switch("a", "b", ("server", "turn")),
            "Switch the server and the relay from a to b; running calls go on.",
        ),
        (Issue(("a.b",), ("certbot",)), "Get a certificate for a.b."),
        (Prune(("a",)), "Remove the old release a."),
        (Prune(("a", "b")), "Remove the old releases a, b."),
    ],
)
def test_each_step_says_itself(step: Step, says: str) -> None:
    assert str(step) == says
    assert described(step).startswith(says)


def test_a_file_is_told_by_its_difference() -> None:
    assert diff_text(FILE, "one\nthree\n").splitlines()[2:] == ["@@ -1,2 +1,2 @@", " one", "-three", "+two"]
    assert diff_text(FILE, FILE.text) == ""


def test_of_a_secret_only_that_there_is_one() -> None:
    assert described(Put(SECRET, None, False)) == "Write /etc/s.\n    +***\n"
    assert described(Put(SECRET, "old canary\n", True)) == "Change /etc/s.\n    -***\n    +***\n"
    assert "canary" not in described(AddRelease("1", "1", None, SECRET, "old canary\n"))


def test_a_plan_can_leave_out_what_is_in_new_files_but_never_what_changes() -> None:
    fresh, changed = Put(FILE, None, exists=False), Put(FILE, "one\n", exists=True)
    assert described(fresh, new_files=False) == "Write /etc/x.\n"
    assert "    +one\n    +two\n" in described(fresh)
    assert "    +two\n" in described(changed, new_files=False)
