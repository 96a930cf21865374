"""`calln deploy init` and `calln setup`: ask six questions, and write the configuration file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from config.deploy import LOCAL
from config.file import Config, parse_config
from config.problems import ConfigError
from deploy.remote.orders import DeployError

Ask = Callable[[str], str]


class Question(NamedTuple):
    """A key, the question for it, and its default; {url} is the host of the first answer."""

    key: str
    words: str
    default: str


QUESTIONS = (
    Question("site.url", "Which address will visitors open?", ""),
    Question("site.name", "Which name does the page show?", "Calln"),
    Question("deploy.hosts", "Which machine, written as for ssh? (local: this one)", "root@{url}"),
    Question(
        "deploy.tls",
        "Certificates: acme (Let's Encrypt), files (your own) or internal (closed network)?",
        "acme",
    ),
    Question("deploy.email", "Your e-mail address for Let's Encrypt? (may be empty)", ""),
    Question("deploy.firewall", "Open ports in the firewall of the machine: none, ufw or nft?", "none"),
)
HERE = {"deploy.hosts": LOCAL}  # what `calln setup` need not ask
QUESTIONS_HERE = (
    *(question for question in QUESTIONS if question.key not in HERE),
    Question("turn.external_ip", "The public address, if this machine is behind NAT? (else empty)", ""),
)
FILES = {"certificate": "fullchain.pem", "key": "privkey.pem"}  # first names for tls: files


def ask_all(path: Path, ask: Ask = input) -> int:
    """Ask all questions, check each answer, and write the file. Raises DeployError if the file exists."""
    if path.exists():
        raise DeployError(f"{path} exists already; edit it, or name another file with --config")
    write_answers(path, QUESTIONS, {}, ask)
    print(f"Saved: {path}. See what would be done: calln deploy plan --config {path}")
    return 0


def ask_here(path: Path, ask: Ask = input) -> None:
    """Ask all questions about this machine, and write the file."""
    write_answers(path, QUESTIONS_HERE, HERE, ask)
    print(f"Saved: {path}. To change an answer, change it there; then: calln setup")


def write_answers(path: Path, questions: Sequence[Question], known: dict[str, str], ask: Ask) -> None:
    answers: dict[str, str] = {}
    for question in questions:
        answers[question.key] = ask_one(question, answers, ask)
    path.write_text(yaml_of({**answers, **known}), "utf-8")


def ask_one(question: Question, answers: dict[str, str], ask: Ask) -> str:
    host = urlsplit(answers.get("site.url", "")).hostname or ""
    default = question.default.format(url=host)
    while True:
        try:
            said = ask(f"{question.words}{f' [{default}]' if default else ''} ").strip() or default
        except EOFError:
            raise DeployError("no answer; write the file by hand, see config.example.yaml") from None
        if question.key == "site.url" and said and "://" not in said:
            said = f"https://{said}"
        wrong = (
            complaint({**answers, question.key: said})
            if said or question.key != "site.url"
            else "please write an address"
        )
        if not wrong:
            return said
        print(f"  {wrong}")


def complaint(answers: dict[str, str]) -> str:
    """What is wrong with the answers; empty if they are good."""
    try:
        parse_answers(answers)
    except ConfigError as error:
        return error.problems[0].split(": ", 2)[-1]
    return ""


def parse_answers(answers: dict[str, str]) -> Config:
    return parse_config(yaml_of(answers), Path("config.yaml"))


def yaml_of(answers: dict[str, str]) -> str:
    """The answers as YAML, without the empty ones."""
    sections: dict[str, list[str]] = {}
    for key, value in answers.items():
        section, name = key.split(".")
        if value:
            sections.setdefault(section, []).append(f"  {name}: {quoted(value)}")
    if answers.get("deploy.tls") == "files":
        sections["deploy"] += [f"  {name}: {file}" for name, file in FILES.items()]
    return "".join(f"{section}:\n" + "\n".join(lines) + "\n" for section, lines in sections.items())


def quoted(value: str) -> str:
    """A text in single quotes, in which YAML changes nothing."""
    return "'" + value.replace("'", "''") + "'"
