"""The web service put together: its parts, and its routes and middleware as two lists."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from host.countries import CODES
from server import admin
from server.config.server import Server
from server.config.site import Site
from server.ice import IceServers, IceSettings
from server.relay_links import RelayLinks
from server.relay_watch import RelayWatch
from server.signalling.call_tickets import CallTickets
from server.signalling.lobby import Lobby
from server.signalling.matching import Queue
from server.signalling.pseudonyms import LETTERS
from server.signalling.reports import KEPT_SECONDS, Reports
from server.signalling.returning import RESUME_SECONDS
from server.signalling.visitors import Dependencies
from server.store import Network, Store
from server.store.bans import Bans
from server.store.call_log import CallLog, purge
from server.store.geo import Database
from server.web import localized, pages
from server.web.admission import Admission, AdmissionRules, allow_all
from server.web.ice_api import IceAnswers
from server.web.login import LOGIN_ERRORS, LOGIN_PATHS, MAX_FORM, PasswordLogin
from server.web.look import NO_LOOK, STYLE, Look
from server.web.metrics import ServerMetrics
from server.web.middleware import AllowedHosts, CatchErrors, RequestLimits, RequestRate, SecurityHeaders
from server.web.origins import ExemptNetworks, hosts_of, origins_of
from server.web.password import COOKIE_SECONDS, SitePassword
from server.web.sentences import Sentences
from server.web.tokens import Tokens
from server.web.websocket import Hub

KEY_BYTES = 16  # of the names that operators see
ID_BYTES = 16  # of visitors, calls and resume secrets: nobody guesses 128 bits


class WebService(NamedTuple):
    """The service without its listeners: three ASGI applications, and the parts that change or end later."""

    site: ASGIApp
    operator_app: ASGIApp
    metrics_app: ASGIApp
    hub: Hub
    store: Store
    call_log: CallLog
    ice: IceServers
    login: PasswordLogin | None
    ice_api: IceAnswers | None
    exempt: ExemptNetworks
    links: RelayLinks
    watch: RelayWatch

    def purge(self) -> None:
        """Delete old calls and ended bans from the file."""
        purge(self.store, self.call_log, self.hub.wall())

    def purge_bans(self) -> None:
        """Delete ended bans from file and memory."""
        if self.store.delete_expired(calls_before=0, bans_until=int(self.hub.wall())):
            self.hub.bans.read_all()


def build(
    site: Site,
    server: Server,
    ice: IceSettings,
    store: Store,
    geo: Database | None = None,
    *,
    encrypted_only: str = "off",
    password: SitePassword | None = None,
    look: Look = NO_LOOK,
    trusted: Sequence[Network] = (),
    tokens: Tokens | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> WebService:
    """Build everything but the listeners. `clock` and `wall` are arguments, so that a test can move them."""
    current, bans, calls = IceServers(ice), Bans(store), CallLog(store, server.call_log_days)
    origins, exempt = origins_of(site, server), ExemptNetworks(server.trusted_proxies, trusted)
    facts = privacy_facts(server, ice, geo, encrypted_only, password is not None)
    context = pages.Context(site, CODES if geo else (), facts, look)
    login = login_for(context, password, origins, server, clock, wall) if password else None
    servers = partial(servers_now, current, wall)
    tickets = CallTickets(lambda: current.settings.secret, wall)
    given = (servers, new_id, geo is not None, exempt.includes, site.matching, current.relays, tickets)
    lobby = lobby_for(Dependencies(*given), server)
    admission = Admission(admission_rules(origins, server, login), exempt)
    links = RelayLinks(current, bans, clock, wall)
    news = (links.take_news, links.take_bans)
    hub = Hub(lobby, admission, bans, calls, ServerMetrics(), geo, clock, wall, *news)
    add_gauges(hub.metrics, hub)
    watch = RelayWatch(current, clock, hub.replace_relay)
    for collector in (links, watch):
        hub.metrics.registry.register(collector)
    ice_api = ice_api_for(tokens, server, current, hub) if tokens else None
    app = build_site(context, hub, hosts_of(origins), login, ice_api)
    operator, numbers = admin.operator_app(hub, links, watch), admin.metrics_app(hub, links, watch)
    parts = (hub, store, calls, current, login, ice_api, exempt, links, watch)
    return WebService(app, operator, numbers, *parts)


def servers_now(
    ice: IceServers, wall: Callable[[], float], user: str, hosts: Sequence[str]
) -> Mapping[str, Any]:
    return ice.servers(user, hosts, wall())


def lobby_for(dependencies: Dependencies, server: Server) -> Lobby:
    reports = Reports(lambda: secrets.choice(LETTERS), new_key)
    return Lobby(dependencies, Queue(server.rematch_seconds), reports)


def login_for(
    context: pages.Context,
    password: SitePassword,
    origins: frozenset[str],
    server: Server,
    clock: Callable[[], float],
    wall: Callable[[], float],
) -> PasswordLogin:
    forms, sentences = localized.login_forms(context, LOGIN_ERRORS), Sentences(context.languages)
    return PasswordLogin(password, forms, sentences, origins, server.trusted_proxies, clock, wall)


def ice_api_for(tokens: Tokens, server: Server, ice: IceServers, hub: Hub) -> IceAnswers:
    def servers_for(user: str) -> Mapping[str, Any]:
        return ice.servers_for(user, hub.wall(), server.ice_api.credential_seconds)

    count = partial(hub.metrics.increment, "ice")
    return IceAnswers(server.ice_api, tokens, servers_for, hub.admission.ip_of, count, hub.clock)


def admission_rules(origins: frozenset[str], server: Server, login: PasswordLogin | None) -> AdmissionRules:
    return AdmissionRules(
        origins,
        server.trusted_proxies,
        server.visitors_per_address,
        server.visitors,
        server.new_visitors_per_minute,
        login.is_logged_in if login else allow_all,
    )


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def new_id() -> str:
    return secrets.token_urlsafe(ID_BYTES)


def build_site(
    context: pages.Context,
    hub: Hub,
    hosts: Mapping[str, str],
    login: PasswordLogin | None,
    ice_api: IceAnswers | None = None,
) -> Starlette:
    """Routes, and the middleware before them, outermost first."""
    login_routes = login.routes(localized.pages_of(context, "index.html")) if login else []
    more = [*(ice_api.routes() if ice_api else []), WebSocketRoute("/ws", hub)]
    routes = [*login_routes, *localized.routes(context), *more]
    sentences = Sentences(context.languages)
    middleware = [
        Middleware(
            SecurityHeaders,
            hosts=hosts,
            styles=context.files.source(STYLE),
            forms="'self'" if login else "'none'",
        ),
        Middleware(CatchErrors, sentences=sentences),
        Middleware(RequestRate, sentences=sentences, may_ask=hub.may_request),
        Middleware(
            RequestLimits, sentences=sentences, bodies=dict.fromkeys(LOGIN_PATHS, MAX_FORM) if login else {}
        ),
        Middleware(AllowedHosts, sentences=sentences, hosts=hosts),
    ]
    return Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={404: localized.not_found(context), 405: localized.wrong_method(sentences)},
    )


def add_gauges(metrics: ServerMetrics, hub: Hub) -> None:
    lobby = hub.lobby
    for name, text, ask in (
        ("calln_sockets", "Open sockets.", lambda: len(hub.clients)),
        ("calln_present", "Visitors, with those that may come back.", lambda: len(lobby.visitors)),
        ("calln_waiting", "Visitors who wait.", lambda: len(lobby.queue)),
        ("calln_rooms", "Calls in progress.", lambda: len(lobby.calls.rooms)),
        (
            "calln_store_problem",
            "1 while bans and calls are in memory only.",
            lambda: int(bool(hub.bans.store.problem)),
        ),
        ("calln_bans", "Banned networks.", lambda: len(hub.bans)),
        ("calln_draining", "1 while no new visitors are admitted.", lambda: int(lobby.draining)),
    ):
        metrics.add_gauge(name, text, ask)


def privacy_facts(
    server: Server, ice: IceSettings, geo: Database | None, encrypted_only: str, locked: bool = False
) -> dict[str, Any]:
    """What this server really does, for the privacy page."""
    return {
        "relay": ", ".join(ice.hosts),
        "own_stun": True,
        "encrypted_only": encrypted_only,
        "hide_address": True,
        "ban_list": True,
        "call_log_days": server.call_log_days,
        "report_minutes": int(KEPT_SECONDS // 60),
        "resume_seconds": int(RESUME_SECONDS),
        "name_minutes": max(4, -(-ice.seconds // 60) + 1),  # until the last credential is over, and forgotten
        "geo_attribution": geo.credit if geo else None,
        "proxied": bool(server.trusted_proxies),
        "cookie_days": COOKIE_SECONDS // 86_400 if locked else 0,
    }
