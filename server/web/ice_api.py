"""STUN and TURN servers for other web applications: who knows a token gets what RTCPeerConnection takes.

Such a user is in no call of ours, so no relay is ever told of it: the relay carries for it only what
`enforce` lets pass.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from server.config.ice_api import IceApi
from server.web.origins import header
from server.web.sentences import ICE_PATH
from server.web.tokens import Tokens, sent_token
from turn.limits.addresses import AddressRates
from turn.limits.buckets import Bucket, Buckets

USER_BYTES = 16  # nobody guesses the name of another user, nor meets that of a visitor
BURST = 2  # minutes' worth at once: an application that starts again asks for all its users
NEVER_KEPT = {"cache-control": "no-store"}
PREFLIGHT = {  # what a browser asks before it sends a token (Fetch §4.8)
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "authorization",
    "access-control-max-age": "600",
}
WRONG, FORBIDDEN, LATER = 401, 403, 429

# Status -> what to do, and the headers that go with it.
REFUSALS: Mapping[int, tuple[str, Mapping[str, str]]] = {
    WRONG: (
        "The token is missing or wrong. Send the header Authorization: Bearer TOKEN, with the token from "
        "the file in server.ice_api.token_file.",
        {"www-authenticate": "Bearer"},
    ),
    FORBIDDEN: (
        "Pages of this site may not ask here. Ask from your server, or add the site to "
        "server.ice_api.origins.",
        {},
    ),
    LATER: (
        "There were too many questions. Ask again in a minute, or raise server.ice_api.per_minute and "
        "per_minute_in_all.",
        {"retry-after": "60"},
    ),
}


class IceAnswers:
    """Answers at /ice. A reload may replace `tokens`. `servers_for` gives the servers for a user's name.
    `counted_ip`: what a question counts for, None for one whose address has no limit. `count` is told the
    status of each answer."""

    def __init__(
        self,
        settings: IceApi,
        tokens: Tokens,
        servers_for: Callable[[str], Mapping[str, Any]],
        counted_ip: Callable[[Scope], bytes | None],
        count: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.settings, self.tokens, self.servers_for = settings, tokens, servers_for
        self.counted_ip, self.count, self.clock = counted_ip, count, clock
        self.questions = AddressRates(Buckets(*rate(settings.per_minute), secrets.token_bytes(16)))
        self.answers = Bucket(*rate(settings.per_minute_in_all))

    def routes(self) -> list[BaseRoute]:
        return [Route(ICE_PATH, self.answer_question, methods=["GET", "OPTIONS"])]

    async def answer_question(self, request: Request) -> Response:
        origin = header(request.scope, b"origin")
        allowed = origin is None or origin in self.settings.origins
        if request.method == "OPTIONS" and allowed:
            return Response(status_code=204, headers={**cors(origin), **PREFLIGHT})
        status = self.status(request.scope) if allowed else FORBIDDEN
        self.count(str(status))
        return self.answer_with(status, cors(origin) if allowed else {})

    def status(self, scope: Scope) -> int:
        """200 if this question is answered. Wrong tokens count for their address alone: so strangers cannot
        use up what there is for all."""
        ip, now = self.counted_ip(scope), self.clock()
        if ip is not None and not self.questions.spend(ip, now):
            return LATER
        if not self.tokens.include(sent_token(scope)):
            return WRONG
        return 200 if self.answers.spend(now) else LATER

    def answer_with(self, status: int, headers: Mapping[str, str]) -> Response:
        if status == 200:
            servers = self.servers_for(secrets.token_urlsafe(USER_BYTES))
            return JSONResponse(servers, headers={**headers, **NEVER_KEPT})
        sentence, more = REFUSALS[status]
        return JSONResponse({"message": sentence}, status, {**headers, **more, **NEVER_KEPT})


def rate(per_minute: int) -> tuple[float, float]:
    """So many per second, and so many at once."""
    return per_minute / 60, per_minute * BURST


def cors(origin: str | None) -> dict[str, str]:
    """Let the page that asks read the answer; another one gets an answer of its own (Fetch §3.2)."""
    return {"vary": "Origin", **({"access-control-allow-origin": origin} if origin else {})}
