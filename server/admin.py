"""HTTP for the operator only: metrics, readiness, relays, reports, and a ban by the code of a report."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from host.http import error_response, read_body
from host.settings import IPAddress
from server.relay_links import RelayLinks
from server.relay_watch import RelayWatch
from server.signalling.strict_json import Malformed, integer, optional, parse_object, text
from server.store import Network
from server.store.bans import household, network_of
from server.web.origins import is_proxy
from server.web.websocket import Hub

MAX_BAN_SECONDS = 99_999 * 86_400  # the longest ban that ends: 99999 days, as on the command line

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
BEHIND_A_PROXY = (
    "the visitor came through a reverse proxy that did not say from which address, so a ban would keep out "
    "everybody; let the proxy send X-Forwarded-For, and add the proxy to server.trusted_proxies"
)

FIELDS = {
    "code": text(0, 32),
    "network": optional(text(1, 64)),
    "seconds": optional(integer(1, MAX_BAN_SECONDS)),
    "reason": text(0, 1_000),
}


class OperatorEndpoints:
    """The operator's requests, answered by the running server."""

    def __init__(self, hub: Hub, links: RelayLinks, watch: RelayWatch) -> None:
        self.hub, self.links, self.watch = hub, links, watch

    async def metrics(self, request: Request) -> Response:
        return Response(self.hub.metrics.expose(), media_type=CONTENT_TYPE_LATEST)

    async def readyz(self, request: Request) -> Response:
        """200: ready for new visitors; 503 while draining. Deaf or silent relays are named."""
        if self.hub.lobby.draining:
            return PlainTextResponse("draining\n", 503)
        lines = ["ready", *(f"relay {one.host}: {one.problem}" for one in self.links.states() if one.problem)]
        lines += [f"relay {host}: {problem}" for host, problem in self.watch.troubles().items()]
        if self.hub.bans.store.problem:
            lines.append("bans and calls are kept in memory only")
        return PlainTextResponse("".join(f"{line}\n" for line in lines))

    async def store(self, request: Request) -> Response:
        """Why the ban list and the call log cannot be written; null if they can."""
        return JSONResponse({"problem": self.hub.bans.store.problem})

    async def relays(self, request: Request) -> Response:
        """Which relays hear us, which live, and how many bans are too many for them to hear of."""
        health = self.watch.health
        relays = [
            {**one._asdict(), "lives": health.lives(one.host), "answers": health.answers(one.host)}
            for one in self.links.states()
        ]
        return JSONResponse({"relays": relays, "bans_left_out": self.links.announcements.bans_left_out})

    async def reports(self, request: Request) -> Response:
        """Each report, with names for the networks of both; never an address."""
        now, wall = self.hub.clock(), self.hub.wall()
        kept = self.hub.lobby.reports.all(now)
        rows = [
            {
                "code": one.code,
                "time": int(wall - (now - one.time)),
                "reason": one.reason,
                "reported": one.reported,
                "reporter": one.reporter,
            }
            for one in kept
        ]
        return JSONResponse({"reports": rows})

    async def ban(self, request: Request) -> Response:
        """Ban the network that is named, or the address that was reported, and close its sockets."""
        try:
            order = await read_ban(request)
        except Malformed:
            return error_response(400, "the body must be a JSON object with code, seconds and reason")
        if order["network"] is None:
            return self.ban_reported(order)
        try:
            network = network_of(order["network"])
        except ValueError as wrong:
            return error_response(400, str(wrong))
        return self.answer_ban(network, order)

    def ban_reported(self, order: dict[str, Any]) -> Response:
        report = self.hub.lobby.reports.lookup(order["code"], self.hub.clock())
        if report is None or report.address is None:
            return error_response(
                404, "there is no report with this code; calln reports lists those of the last half hour"
            )
        if self.is_shared(report.address):
            return error_response(409, BEHIND_A_PROXY)
        return self.answer_ban(household(report.address), order)

    def is_shared(self, address: IPAddress) -> bool:
        """Whether this is a reverse proxy's address: a ban of it would ban everybody behind it."""
        rules = self.hub.admission.rules
        is_public = any(urlsplit(origin).hostname not in LOCAL_NAMES for origin in rules.origins)
        return is_proxy(address, rules.proxies) or (address.is_loopback and is_public)

    def answer_ban(self, network: Network, order: dict[str, Any]) -> Response:
        """`problem` says why the ban is in force, but not in the file."""
        bans = self.hub.bans
        ban = bans.add(network, self.hub.wall(), order["seconds"], order["reason"])
        self.hub.close_banned()
        return JSONResponse({"banned": True, "until": ban.until, "problem": bans.store.problem})


async def read_ban(request: Request) -> dict[str, Any]:
    value = parse_object(await read_body(request) or b"")
    if "network" in value:
        value = {"code": "", **value}
    return {name: check(value.get(name, "" if name == "reason" else None)) for name, check in FIELDS.items()}


def operator_app(hub: Hub, links: RelayLinks, watch: RelayWatch) -> Starlette:
    """All of it: for the Unix socket, which only the operator's account can open."""
    admin = OperatorEndpoints(hub, links, watch)
    return Starlette(
        routes=[
            Route("/metrics", admin.metrics),
            Route("/readyz", admin.readyz),
            Route("/relays", admin.relays),
            Route("/store", admin.store),
            Route("/reports", admin.reports),
            Route("/bans", admin.ban, methods=["POST"]),
        ]
    )


def metrics_app(hub: Hub, links: RelayLinks, watch: RelayWatch) -> Starlette:
    """Numbers only: for server.metrics_listen."""
    admin = OperatorEndpoints(hub, links, watch)
    return Starlette(routes=[Route("/metrics", admin.metrics), Route("/readyz", admin.readyz)])
