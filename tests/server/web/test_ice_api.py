"""ICE servers for other web applications, over real connections: who gets them, and how often."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from server import run
from server.config.geo import Geo
from server.config.ice_api import IceApi
from server.config.server import Server
from server.config.site import Site
from server.web.ice_api import IceAnswers
from server.web.tokens import Tokens
from tests.server.serving import ICE, Service, serving
from turn.credentials import is_live, password_for, user_of

TOKEN, NEXT = "canary-of-the-application", "canary-of-the-next-month"
APP = "https://app.example.org"
RATE = 10  # questions of an address in a minute


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    settings = {"origins": APP, "credential_seconds": 120, "per_minute": RATE, "per_minute_in_all": 2 * RATE}
    async with serving(tmp_path, tokens=Tokens((TOKEN,)), ice_api=settings) as running:
        yield running


async def ask(
    service: Service,
    token: str | None = TOKEN,
    method: str = "GET",
    **headers: str,
) -> httpx.Response:
    sent = {"Authorization": f"Bearer {token}"} if token is not None else {}
    async with httpx.AsyncClient(base_url=service.origin, verify=False) as client:
        return await client.request(method, "/ice", headers={**sent, **headers})


async def test_the_answer_is_what_a_browser_takes(service: Service) -> None:
    reply = await ask(service)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert reply.headers["cache-control"] == "no-store"
    stun, relay = reply.json()["iceServers"]
    assert stun == {"urls": ["stun:turn.example.org:3478"]}
    assert relay["urls"] == ["turn:turn.example.org:3478?transport=udp"]
    assert reply.json()["expires_in"] == 120


async def test_the_relay_knows_the_credential_for_as_long_as_it_says(service: Service) -> None:
    relay = (await ask(service)).json()["iceServers"][1]
    now = service.web.hub.wall()
    assert relay["credential"] == password_for(relay["username"], ICE.secret)
    assert [is_live(relay["username"], now + later) for later in (118, 121)] == [True, False]


async def test_each_answer_is_for_a_user_of_its_own_of_whom_no_relay_is_told(service: Service) -> None:
    users = [user_of((await ask(service)).json()["iceServers"][1]["username"]) for _ in range(3)]
    one, other = await service.couple()
    names = {visitor.user for visitor in service.web.hub.lobby.visitors.values()}
    assert len(set(users)) == 3
    assert not names & set(users)
    assert not any(user in repr(vars(service.web.links.announcements)) for user in users)
    await one.close()
    await other.close()


@pytest.mark.parametrize("token", [None, TOKEN[:-1], f"{TOKEN}x", "Bearer", "\xff"])
async def test_without_the_token_there_is_a_sentence(service: Service, token: str | None) -> None:
    headers = [] if token is None else [(b"Authorization", f"Bearer {token}".encode("latin-1"))]
    async with httpx.AsyncClient(base_url=service.origin, verify=False) as client:
        reply = await client.get("/ice", headers=headers)
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert reply.headers["cache-control"] == "no-store"
    assert "The token is missing or wrong" in reply.json()["message"]
    assert "canary" not in reply.text


async def test_a_page_of_a_named_site_may_read_the_answer(service: Service) -> None:
    for token, status in ((TOKEN, 200), ("wrong", 401)):
        reply = await ask(service, token, Origin=APP)
        assert reply.status_code == status
        assert reply.headers["access-control-allow-origin"] == APP
        assert "origin" in reply.headers["vary"].lower()


async def test_a_browser_may_ask_before_it_sends_the_token(service: Service) -> None:
    before = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    reply = await ask(service, None, "OPTIONS", Origin=APP, **before)
    assert (reply.status_code, reply.text) == (204, "")
    said = {name: reply.headers[f"access-control-allow-{name}"] for name in ("origin", "methods", "headers")}
    assert said == {"origin": APP, "methods": "GET", "headers": "authorization"}
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"{APP}.evil.example", "http://app.example.org", "null"]
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_pages_of_other_sites_may_not(service: Service, origin: str, method: str) -> None:
    reply = await ask(service, method=method, Origin=origin)
    assert reply.status_code == 403
    assert "server.ice_api.origins" in reply.json()["message"]
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert "iceServers" not in reply.text


class Questions:
    """An answerer with a clock that a test moves, and questions from addresses."""

    def __init__(self) -> None:
        self.now = 0.0
        settings = IceApi(per_minute=RATE, per_minute_in_all=2 * RATE)
        counted: list[str] = []
        self.answers = IceAnswers(
            settings,
            Tokens((TOKEN,)),
            lambda user: {"user": user},
            lambda scope: scope["ip"],
            counted.append,
            lambda: self.now,
        )

    def ask(self, ip: bytes | None, token: str = TOKEN) -> int:
        return self.answers.status({"ip": ip, "headers": [(b"authorization", f"Bearer {token}".encode())]})


ONE, OTHER = (ip_address(f"192.0.2.{number}").packed for number in (1, 2))


def test_an_address_may_ask_so_often_whatever_it_knows() -> None:
    questions = Questions()
    assert [questions.ask(ONE, token) for token in (TOKEN, "wrong") * RATE] == [200, 401] * RATE
    assert [questions.ask(ONE, token) for token in (TOKEN, "wrong")] == [429, 429]
    assert questions.ask(OTHER) == 200
    questions.now += 60
    assert [questions.ask(ONE) for _ in range(RATE + 1)] == [200] * RATE + [429]


def test_all_together_get_so_many_and_strangers_take_nothing_of_it() -> None:
    questions = Questions()
    for number in range(100):
        assert questions.ask(bytes((198, 51, 100, number)), "wrong") == 401
    assert [questions.ask(None) for _ in range(4 * RATE + 1)] == [200] * 4 * RATE + [429]
    assert questions.ask(OTHER) == 429
    questions.now += 3
    assert [questions.ask(OTHER) for _ in range(2)] == [200, 429]


async def test_too_many_questions_are_refused_with_a_time(service: Service) -> None:
    for _ in range(2 * RATE + 10):
        reply = await ask(service, "wrong")
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "60")
    assert "server.ice_api.per_minute" in reply.json()["message"]


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("POST", {}, b"", 405),
        ("GET", {}, b"hello", 413),
        ("GET", {"Host": "evil.example"}, b"", 421),
    ],
)
async def test_what_the_server_refuses_anyway_is_json_here(
    service: Service, method: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    async with httpx.AsyncClient(base_url=service.origin, verify=False) as client:
        reply = await client.request(
            method, "/ice", content=body, headers={"Authorization": f"Bearer {TOKEN}", **headers}
        )
    assert reply.status_code == status
    assert reply.json()["message"].endswith(".")


async def test_a_reload_takes_another_token(service: Service) -> None:
    config = run.WebConfig(Site(), Server(), Geo(), ICE, tokens=Tokens((NEXT,)))
    run.reload(service.web, None, lambda: config, config)
    assert [(await ask(service, token)).status_code for token in (TOKEN, NEXT)] == [401, 200]


async def test_answers_are_counted(service: Service) -> None:
    await ask(service)
    await ask(service, "wrong")
    figures = service.web.hub.metrics.expose().decode()
    assert 'calln_ice_answers_total{status="200"} 1.0' in figures
    assert 'calln_ice_answers_total{status="401"} 1.0' in figures


async def test_no_token_is_in_a_log_or_a_file(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        reply = await ask(service)
        await ask(service, f"{TOKEN}-that-is-wrong")
        await ask(service, Origin="https://canary.example")
    logged = "".join(record.getMessage() for record in caplog.records if not is_of_client(record.name))
    kept = b"".join(path.read_bytes() for path in service.folder.iterdir() if path.is_file())
    for secret in ("canary", reply.json()["iceServers"][1]["credential"]):
        assert secret not in logged
        assert secret.encode() not in kept


def is_of_client(logger: str) -> bool:
    return logger.startswith(("httpx", "httpcore"))


async def test_by_itself_there_is_no_such_address(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        reply = await ask(service)
    assert reply.status_code == 404
    assert "iceServers" not in reply.text
