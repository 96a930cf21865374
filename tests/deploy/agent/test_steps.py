"""Each kind of step, done to a folder."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from deploy.agent import releases, steps
from deploy.agent.systemd import StepFailed
from tests.deploy.agent.conftest import Machine
from tests.deploy.agent.files import Step, a_file


def archive(folder: Path, **files: str) -> Step:
    place = folder / "archive"
    with tarfile.open(place, "w:gz") as tar:
        for name, text in files.items():
            (folder / name).write_text(text)
            tar.add(folder / name, f"turn/{name}.py")
    return {"place": str(place), "sha256": hashlib.sha256(place.read_bytes()).hexdigest()}


def placing(machine: Machine, name: str, *, like: str | None = None, **files: str) -> Step:
    config = a_file(releases.RELEASES / name / "config.yaml", f"# {name}\n")
    step: Step = {"kind": "AddRelease", "name": name, "like": like, "config": config}
    return {**step, "archive": archive(machine.folder, **files)} if not like else step


def test_a_file_is_written_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "calln" / "secret"
    for text in ("one\n", "two\n"):
        steps.put_file({"file": a_file(path, text)})
        assert path.read_text() == text
        assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_a_release_is_unpacked_compiled_and_named_last(machine: Machine) -> None:
    steps.add_release(placing(machine, "1", a="x = 1\n"))
    assert (releases.RELEASES / "1" / "turn" / "a.py").read_text() == "x = 1\n"
    assert list((releases.RELEASES / "1").rglob("a.*.pyc"))
    assert (releases.RELEASES / "1" / "config.yaml").read_text() == "# 1\n"
    assert [path.name for path in releases.RELEASES.iterdir()] == ["1"]
    assert not (machine.folder / "archive").exists()


def test_another_configuration_takes_the_code_that_is_there(machine: Machine) -> None:
    steps.add_release(placing(machine, "1", a="x = 1\n"))
    steps.add_release(placing(machine, "2", like="1"))
    assert (releases.RELEASES / "2" / "turn" / "a.py").samefile(releases.RELEASES / "1" / "turn" / "a.py")
    assert [(releases.RELEASES / name / "config.yaml").read_text() for name in "12"] == ["# 1\n", "# 2\n"]


def test_what_somebody_put_in_its_place_is_refused(machine: Machine) -> None:
    step = placing(machine, "1", a="x = 1\n")
    Path(step["archive"]["place"]).write_bytes(b"another")
    with pytest.raises(StepFailed, match="archive of the release is damaged"):
        steps.add_release(step)
    assert not (releases.RELEASES / "1").exists()


def test_what_a_release_left_that_could_not_be_placed_goes(machine: Machine) -> None:
    step = placing(machine, "1", a="x = 1\n")
    step["config"]["owner"] = "nobody-of-this-name"
    with pytest.raises(LookupError):
        steps.add_release(step)
    assert not list(releases.RELEASES.iterdir())


def test_remove_takes_files_folders_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("folder", "file", "gone"):
        steps.remove_path({"path": str(tmp_path / name)})
    assert not list(tmp_path.iterdir())


def test_a_command_that_fails_says_its_last_words() -> None:
    steps.run_step({"argv": ["true"]})
    with pytest.raises(StepFailed, match=r"sh -c .* failed:\nno room"):
        steps.run_step({"argv": ["sh", "-c", "echo no room >&2; exit 1"]})
    with pytest.raises(StepFailed, match="no-such-program: No such file"):
        steps.run_step({"argv": ["no-such-program"]})


@pytest.mark.parametrize(
    ("words", "question"),
    [((), "port 80 open"), (("--authenticator", "dns-ovh"), "deploy.acme_dns_credentials")],
)
def test_a_refused_certificate_says_what_to_look_at(words: tuple[str, ...], question: str) -> None:
    argv = ["sh", "-c", "echo too many; exit 1", *words]
    with pytest.raises(
        StepFailed, match=rf"no certificate for a\.example yet. .*{question} (.|\n)*too many"
    ) as problem:
        steps.issue_certificate({"names": ["a.example"], "argv": argv})
    assert "failed" in str(problem.value)


def test_nothing_starts_while_apt_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy"
    monkeypatch.setattr(steps, "POLICY", policy)
    with steps.without_service_starts():
        assert "exit 101" in policy.read_text()
    assert not policy.exists()
    policy.write_text("written by the operator")
    with steps.without_service_starts():
        assert policy.read_text() == "written by the operator"
    assert policy.exists()
