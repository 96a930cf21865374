"""What only the operator may ask: metrics, readiness, reports, and a ban by a report's code."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from server.signalling.strict_json import Malformed, maybe, number, parse_object, text
from server.store.bans import household
from server.web.origins import is_proxy
from server.web.websocket import Sockets

MAX_BODY = 4_096
LONGEST = 99_999 * 86_400  # seconds of the longest ban that ends, as the command line writes it

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
BEHIND_A_PROXY = (
    "this visitor came through a reverse proxy that did not say from where: a ban would keep out everybody; "
    "have the proxy send X-Forwarded-For, and name the proxy in server.trusted_proxies"
)

FIELDS = {"code": text(1, 32), "seconds": maybe(number(1, LONGEST)), "reason": text(0, 1_000)}


class Admin:
    """The operator's questions, and their answers from the running server."""

    def __init__(self, sockets: Sockets) -> None:
        self.sockets = sockets

    async def metrics(self, request: Request) -> Response:
        return Response(self.sockets.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    async def readyz(self, request: Request) -> Response:
        """Ready for new visitors; 503 while draining."""
        draining = self.sockets.lobby.draining
        return PlainTextResponse("draining\n" if draining else "ready\n", 503 if draining else 200)

    async def reports(self, request: Request) -> Response:
        """Code, time and reason of each; never an address."""
        now, wall = self.sockets.clock(), self.sockets.wall()
        kept = self.sockets.lobby.reports.list(now)
        rows = [{"code": one.code, "time": int(wall - (now - one.at)), "reason": one.reason} for one in kept]
        return JSONResponse({"reports": rows})

    async def ban(self, request: Request) -> Response:
        """Keep out whom a report speaks of, and close their sockets."""
        try:
            wish = await read_wish(request)
        except Malformed:
            return refusal(400, "code, seconds and reason belong here")
        report = self.sockets.lobby.reports.find(wish["code"], self.sockets.clock())
        if report is None or report.address is None:
            return refusal(404, "there is no such report; calln reports lists those of the last half hour")
        if self.stands_for_many(report.address):
            return refusal(409, BEHIND_A_PROXY)
        until = self.keep_out(report.address, wish)
        return JSONResponse({"banned": True, "until": until})

    def stands_for_many(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether this is a reverse proxy's address, and a ban of it a ban of everybody behind it."""
        doors = self.sockets.doors
        elsewhere = any(urlsplit(origin).hostname not in LOCAL_NAMES for origin in doors.origins)
        return is_proxy(address, doors.proxies) or (address.is_loopback and elsewhere)

    def keep_out(self, address: IPv4Address | IPv6Address, wish: dict[str, Any]) -> int | None:
        bans = self.sockets.bans
        ban = bans.add(household(address), self.sockets.wall(), wish["seconds"], wish["reason"])
        self.sockets.put_out()
        return ban.until


async def read_wish(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise Malformed
    value = parse_object(bytes(body))
    return {name: check(value.get(name, "" if name == "reason" else None)) for name, check in FIELDS.items()}


def refusal(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


def control(sockets: Sockets) -> Starlette:
    """Everything: for the Unix socket, which only the operator's account can open."""
    admin = Admin(sockets)
    return Starlette(
        routes=[
            Route("/metrics", admin.metrics),
            Route("/readyz", admin.readyz),
            Route("/reports", admin.reports),
            Route("/bans", admin.ban, methods=["POST"]),
        ]
    )


def watch(sockets: Sockets) -> Starlette:
    """Numbers only: for server.metrics_listen."""
    admin = Admin(sockets)
    return Starlette(routes=[Route("/metrics", admin.metrics), Route("/readyz", admin.readyz)])
