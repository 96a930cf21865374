"""Plain refusals, over real connections: each in the language of its reader, and none in English alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from server.languages.known import known
from server.web.sentences import SENTENCES, Sentences
from tests.house import ROOT, place
from tests.server.raw import raw
from tests.server.serving import Service

GERMAN = {
    400: "Diese Anfrage ist nicht eindeutig",
    405: "Diese Adresse nimmt eine solche Anfrage nicht an",
    413: "Das ist mehr, als diese Adresse annimmt",
    421: "Dies ist keine Adresse dieser Seite",
    431: "Ihr Browser hat neben der Anfrage zu viel gesendet",
}
HEAD = "GET /privacy HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\nAccept-Language: de-CH, fr;q=0.5\r\n"
REQUESTS = {
    400: HEAD + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    405: HEAD.replace("GET", "DELETE") + "\r\n",
    413: HEAD + "Content-Length: 3\r\n\r\nabc",
    421: HEAD.replace("HERE", "evil.example") + "\r\n",
    431: HEAD + "".join(f"X{number}: y\r\n" for number in range(70)) + "\r\n",
}
# Answers in plain text that machines read, and operators by the command line.
FOR_MACHINES = {
    ("server/admin.py", "draining\n"),
    ("server/web/pages.py", "ok\n"),
    ("server/web/redirect.py", "there is no such ACME challenge\n"),
}


@pytest.mark.parametrize("status", REQUESTS)
async def test_refusals_speak_the_language_of_the_reader(service: Service, status: int) -> None:
    async with raw(service) as connection:
        await connection.send(REQUESTS[status].replace("HERE", f"127.0.0.1:{service.port}").encode())
        answer = (await connection.rest()).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "content-language: de\r\n" in answer
    assert GERMAN[status] in answer


@pytest.mark.parametrize("code", known())
@pytest.mark.parametrize("status", SENTENCES)
def test_every_sentence_is_there_in_every_language(status: int, code: str) -> None:
    scope = {"headers": [(b"accept-language", code.encode())]}
    answer = Sentences().answer(scope, status)
    assert answer.headers["content-language"] == code
    assert (bytes(answer.body).decode() == f"{SENTENCES[status]}\n") is (code == "en")


def test_a_site_says_them_in_its_own_languages_only() -> None:
    scope = {"headers": [(b"accept-language", b"fr")]}
    assert Sentences(("de",)).answer(scope, 413).headers["content-language"] == "de"


def plain_answers(path: Path) -> list[str]:
    """The texts that a file of ours answers as they stand there."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if getattr(call.func, "id", "") == "PlainTextResponse"]
    return [ast.literal_eval(call.args[0]) for call in named if isinstance(call.args[0], ast.Constant)]


def test_no_other_plain_answer_is_for_people() -> None:
    files = ROOT.glob("server/**/*.py")
    assert {(place(path), text) for path in files for text in plain_answers(path)} == FOR_MACHINES
