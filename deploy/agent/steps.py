"""What each kind of step does on the machine. A step comes as JSON."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.agent import releases
from deploy.agent.systemd import StepFailed

Step = dict[str, Any]

POLICY = Path("/usr/sbin/policy-rc.d")
NOTHING_STARTS = "#!/bin/sh\nexit 101\n"  # apt runs this before it starts a service of a package
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
APT = ("apt-get", "-qq", "--yes", "-o", "DPkg::Lock::Timeout=120")
DRAFT = ".calln-new"
CERTBOT_NOISE = ("Saving debug log", "Ask for help")  # certbot, at its end
LAST_LINES = 6
ASKED_AT_PORT_80 = "Does each name lead to this machine, and is port 80 open from the Internet?"
ASKED_BY_DNS = (
    "Does the DNS server answer this machine, may deploy.acme_dns_credentials change its zone, and is "
    "deploy.acme_dns_seconds long enough?"
)


def install_packages(step: Step) -> None:
    with without_service_starts():
        run_command([*APT, "update"])
        run_command([*APT, "--no-install-recommends", "install", *step["packages"]])


@contextlib.contextmanager
def without_service_starts() -> Iterator[None]:
    if POLICY.exists():  # not ours; it stays as it is
        yield
        return
    POLICY.write_text(NOTHING_STARTS)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def put_file(step: Step) -> None:
    write_file(step["file"], Path(step["file"]["path"]))


def write_file(file: dict[str, Any], path: Path) -> None:
    """Write the whole file or nothing; it gets its owner and mode before its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + DRAFT)
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as made:
        made.write(file["text"])
        made.flush()
        os.fsync(descriptor)
    shutil.chown(draft, file["owner"], file["group"])
    draft.chmod(file["mode"])
    draft.rename(path)


def add_release(step: Step) -> None:
    """Build the release under another name until it is complete."""
    final, draft = releases.RELEASES / step["name"], releases.RELEASES / f".{step['name']}"
    if final.exists():
        return
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        fill_release(step, draft, final)
        draft.rename(final)
    except (StepFailed, OSError, LookupError):
        shutil.rmtree(draft, ignore_errors=True)  # leave nothing half done, as the disk may be full
        raise


def fill_release(step: Step, draft: Path, final: Path) -> None:
    """Copy or unpack the code and write the configuration. Raises StepFailed and OSError."""
    if step["like"]:
        shutil.copytree(releases.RELEASES / step["like"], draft, copy_function=os.link, dirs_exist_ok=True)
    else:
        unpack_archive(step["archive"], draft)
        run_command(
            ["python3", "-m", "compileall", "-q", "-j", "0", "-s", str(draft), "-p", str(final), str(draft)]
        )
    write_file(step["config"], draft / Path(step["config"]["path"]).relative_to(final))
    os.utime(draft)


def unpack_archive(archive: dict[str, str], folder: Path) -> None:
    """Unpack the archive. Raises StepFailed if it was changed: anybody may write in its folder."""
    path = Path(archive["place"])
    data = path.read_bytes()
    path.unlink()
    if hashlib.sha256(data).hexdigest() != archive["sha256"]:
        raise StepFailed("the archive of the release is damaged; run this again")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for about in tar:
            content = tar.extractfile(about)
            if content is not None:
                target = folder / about.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


def remove_path(step: Step) -> None:
    path = Path(step["path"])
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run_step(step: Step) -> None:
    run_command(step["argv"])


def run_command(argv: Sequence[str]) -> None:
    """Run a command. Raises StepFailed with its last lines."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **QUIET})  # noqa: S603
    except OSError as error:
        raise StepFailed(f"{argv[0]}: {error.strerror}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        words = [line for line in said if line.strip() and not line.startswith(CERTBOT_NOISE)]
        raise StepFailed(f"{' '.join(argv[:3])} failed:\n" + "\n".join(words[-LAST_LINES:]))


def issue_certificate(step: Step) -> None:
    try:
        run_command(step["argv"])
    except StepFailed as problem:
        question = ASKED_BY_DNS if "--authenticator" in step["argv"] else ASKED_AT_PORT_80
        names = " and ".join(step["names"])
        raise StepFailed(f"there is no certificate for {names} yet. {question} {problem}") from None


ACTIONS: dict[str, Callable[[Step], None]] = {
    "Install": install_packages,
    "Put": put_file,
    "AddRelease": add_release,
    "Remove": remove_path,
    "Run": run_step,
    "Switch": lambda step: releases.switch_release(step["new"], step["roles"]),
    "Retire": lambda step: releases.retire_roles(step["roles"]),
    "Issue": issue_certificate,
    "Prune": lambda step: releases.remove_releases(step["releases"]),
}
