"""`calln deploy init`: six questions, and the file that their answers make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from config.file import Config, parse_config
from config.problems import ConfigError
from deploy.remote.orders import DeployError

Ask = Callable[[str], str]


class Question(NamedTuple):
    """The key it is about, its words, and what an empty answer means; {url} is the first answer's host."""

    key: str
    words: str
    default: str


QUESTIONS = (
    Question("site.url", "Under which address will visitors open the service?", ""),
    Question("site.name", "What name shall the page show?", "Calln"),
    Question("deploy.hosts", "Which machine, as for ssh? (local: this one)", "root@{url}"),
    Question("deploy.tls", "Certificates: acme (Let's Encrypt), files (your own) or internal?", "acme"),
    Question("deploy.email", "Where may the authority write to? (may stay empty)", ""),
    Question("deploy.firewall", "A firewall there to open ports in: none, ufw or nft?", "none"),
)
FILES = {"certificate": "fullchain.pem", "key": "privkey.pem"}  # names to begin with, for tls: files


def ask_all(path: Path, ask: Ask = input) -> int:
    """Ask, check each answer as the file would, and write the file. Raises Halt where there is one."""
    if path.exists():
        raise DeployError(f"{path} is there already; edit it, or name another with --config")
    answers: dict[str, str] = {}
    for question in QUESTIONS:
        answers[question.key] = ask_one(question, answers, ask)
    path.write_text(yaml_of(answers), "utf-8")
    print(f"Written: {path}. See what would be done with: calln deploy plan --config {path}")
    return 0


def ask_one(question: Question, answers: dict[str, str], ask: Ask) -> str:
    host = urlsplit(answers.get("site.url", "")).hostname or ""
    default = question.default.format(url=host)
    while True:
        try:
            said = ask(f"{question.words}{f' [{default}]' if default else ''} ").strip() or default
        except EOFError:
            raise DeployError(
                "no answer came; write the file by hand, as config.example.yaml shows"
            ) from None
        if question.key == "site.url" and said and "://" not in said:
            said = f"https://{said}"
        wrong = (
            complaint({**answers, question.key: said}) if said or question.key != "site.url" else "write one"
        )
        if not wrong:
            return said
        print(f"  {wrong}")


def complaint(answers: dict[str, str]) -> str:
    """What the file's reader would say; nothing where it is content."""
    try:
        parse_answers(answers)
    except ConfigError as error:
        return error.problems[0].split(": ", 2)[-1]
    return ""


def parse_answers(answers: dict[str, str]) -> Config:
    return parse_config(yaml_of(answers), Path("config.yaml"))


def yaml_of(answers: dict[str, str]) -> str:
    """The answers as YAML, without those that say nothing."""
    sections: dict[str, list[str]] = {}
    for key, value in answers.items():
        section, name = key.split(".")
        if value:
            sections.setdefault(section, []).append(f"  {name}: {quoted(value)}")
    if answers.get("deploy.tls") == "files":
        sections["deploy"] += [f"  {name}: {file}" for name, file in FILES.items()]
    return "".join(f"{section}:\n" + "\n".join(lines) + "\n" for section, lines in sections.items())


def quoted(value: str) -> str:
    """In single quotes, in which YAML reads only the quote itself."""
    return "'" + value.replace("'", "''") + "'"
