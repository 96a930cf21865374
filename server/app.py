"""The web service put together: routes and middleware as two lists, and the process that serves them."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import socket
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import uvloop
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from host import logs, systemd
from host.certificates import expiry
from host.settings import waiting
from host.shutdown import Shutdown
from host.startup import Unavailable, raise_descriptor_limit
from host.tls import BadCertificate, Certificate
from host.unix_socket import RELAY, VersionedSocket
from server import admin, process
from server.config.sections import Geo, Server, Site
from server.ice import IceServers, IceSettings
from server.process import PeriodicTask, ServeOptions
from server.signalling.lobby import RESUME_SECONDS, Lobby
from server.signalling.matching import Queue
from server.signalling.reports import CODE_LETTERS, KEPT_SECONDS, Reports
from server.signalling.visitors import Dependencies
from server.store import Store
from server.store.bans import Bans
from server.store.call_log import PURGE_SECONDS, CallLog, purge
from server.store.countries import BY_NAME
from server.store.geo import Database, open_database
from server.store.sqlite import open_store
from server.web import pages
from server.web.login import LOGIN_ERRORS, LOGIN_PATH, MAX_FORM, PasswordLogin
from server.web.metrics import ServerMetrics
from server.web.middleware import AllowedHosts, CatchErrors, RequestLimits, SecurityHeaders
from server.web.origins import hosts_of, local_origins, origins_of
from server.web.password import COOKIE_SECONDS, SitePassword
from server.web.redirect import Redirect
from server.web.tls_listener import TlsListener
from server.web.turn_proxy import TurnProxy
from server.web.websocket import AdmissionRules, Hub, allow_all

__all__ = ["Unavailable", "build", "run"]

log = logging.getLogger("calln.server")

SOCKET = "server.sock"
HTTP, HTTPS = "http", "https"  # names of the sockets that a service manager holds for us
TURN_CONNECTIONS = "TURN clients whose connections are passed on to the relay."
CERTIFICATE_ENDS = "When the certificate ends, in seconds since 1970; 0: there is none that is valid now."
ID_BYTES = 16  # of visitors, calls and resume secrets: nobody guesses 128 bits
BANS_SECONDS = 60  # how long the address of an ended ban may stay in file and memory
TICK_SECONDS = 0.5  # so that a ban by another process works within a second


Part = tuple[ASGIApp, list[socket.socket]]
# What a reload brings: the `server:` section, what browsers are told of the relay, and the site's password.
Reloaded = tuple[Server, IceSettings, SitePassword | None]


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
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> WebService:
    """Build everything but the listeners. `clock` and `wall` are arguments, so that a test can move them."""
    current = IceServers(ice)
    dependencies = Dependencies(lambda user: current.servers(user, wall()), new_id, geo is not None)
    lobby = Lobby(dependencies, Queue(server.rematch_seconds), Reports(lambda: secrets.choice(CODE_LETTERS)))
    origins = origins_of(site, server)
    context = pages.Context(
        site, BY_NAME if geo else [], privacy_facts(server, ice, geo, encrypted_only, password is not None)
    )
    login = None
    if password is not None:
        texts = pages.render_login(context, LOGIN_ERRORS)
        login = PasswordLogin(password, texts, origins, server.trusted_proxies, clock, wall)
    admission = AdmissionRules(
        origins,
        server.trusted_proxies,
        server.connections_per_address,
        server.visitors,
        login.is_logged_in if login else allow_all,
    )
    calls, metrics = CallLog(store, server.call_log_days), ServerMetrics()
    hub = Hub(lobby, admission, Bans(store), calls, metrics, geo, clock, wall)
    add_gauges(metrics, hub)
    app = build_site(pages.render(context), hub, hosts_of(origins), login)
    return WebService(app, admin.operator_app(hub), admin.metrics_app(hub), hub, store, calls, current, login)


def new_id() -> str:
    return secrets.token_urlsafe(ID_BYTES)


def build_site(
    texts: Mapping[str, str], hub: Hub, hosts: Mapping[str, str], login: PasswordLogin | None
) -> Starlette:
    """Routes, and the middleware before them, outermost first."""
    login_routes = login.routes(pages.Page(texts["index.html"])) if login else []
    routes = [*login_routes, *pages.routes(texts), WebSocketRoute("/ws", hub)]
    middleware = [
        Middleware(SecurityHeaders, hosts=hosts, forms="'self'" if login else "'none'"),
        Middleware(CatchErrors),
        Middleware(RequestLimits, bodies={LOGIN_PATH: MAX_FORM} if login else {}),
        Middleware(AllowedHosts, hosts=hosts),
    ]
    return Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={404: pages.not_found(texts["not_found.html"])},
    )


def add_gauges(metrics: ServerMetrics, hub: Hub) -> None:
    lobby = hub.lobby
    for name, text, ask in (
        ("calln_sockets", "Open sockets.", lambda: len(hub.clients)),
        ("calln_present", "Visitors, with those that may come back.", lambda: len(lobby.visitors)),
        ("calln_waiting", "Visitors who wait.", lambda: len(lobby.queue)),
        ("calln_rooms", "Calls in progress.", lambda: len(lobby.rooms)),
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
        "geo_attribution": geo.credit if geo else None,
        "proxied": bool(server.trusted_proxies),
        "cookie_days": COOKIE_SECONDS // 86_400 if locked else 0,
    }


def run(
    site: Site,
    server: Server,
    geo: Geo,
    ice: IceSettings,
    *,
    encrypted_only: str = "off",
    password: SitePassword | None = None,
    read: Callable[[], Reloaded] | None = None,
) -> int:
    """Serve until a signal ends it; return the exit code. `read` reads the configuration again on SIGHUP and
    may raise ValueError. Raises GeoError, StoreError or Unavailable."""
    logs.start_logging()
    raise_descriptor_limit()  # each visitor holds one; the usual soft limit is 1,024
    database = open_database(geo.database) if geo.database else None
    store = open_store(site.state_dir)
    try:
        service = build(site, server, ice, store, database, encrypted_only=encrypted_only, password=password)
        service.purge()
        gc.freeze()  # what is loaded stays: a collection over all of it would stop everything for 50 ms
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if server.tls_listen else None) as runner:
            runner.run(serve_web(service, site, server, read))
    finally:
        store.close()
    return 0


async def serve_web(
    service: WebService, site: Site, server: Server, read: Callable[[], Reloaded] | None = None
) -> None:
    """Open the listeners and serve until the shutdown. Raises Unavailable."""
    given, metrics = systemd.inherited_sockets(), service.hub.metrics
    turn_proxy = TurnProxy(site.state_dir / RELAY, partial(metrics.increment, "connection"))
    metrics.add_gauge("calln_turn_connections", TURN_CONNECTIONS, lambda: len(turn_proxy.clients))
    tls_listener = make_tls_listener(server, given.get(HTTPS, []), turn_proxy) if server.tls_listen else None
    plain = given.get(HTTP) or [process.listen(at) for at in server.listen]
    if tls_listener is not None:
        metrics.add_gauge(
            "calln_certificate_ends_seconds", CERTIFICATE_ENDS, lambda: tls_listener.certificate_ends
        )
    parts = listeners_of(service, site, server, tls_listener, plain)
    with VersionedSocket(site.state_dir / SOCKET) as operator_socket:
        parts.append((service.operator_app, [operator_socket.sock]))
        log_addresses(server)
        on_reload = partial(reload, service, tls_listener, read, server) if read else lambda: None
        options = ServeOptions(tls_listener, operator_socket.publish, on_reload, bool(given))
        finish = partial(
            wait_for_calls, service.hub, seconds=server.drain_seconds, turn_clients=turn_proxy.clients
        )
        await process.serve(parts, periodic_tasks(service), Shutdown(), finish, options)
    turn_proxy.close()
    log.info("ended")


def make_tls_listener(server: Server, given: list[socket.socket], turn_proxy: TurnProxy) -> TlsListener:
    """`given` are sockets of a service manager, if it has any. Raises Unavailable."""
    sockets = given or [process.listen(at, "server.tls_listen") for at in server.tls_listen]
    tls_listener = TlsListener(sockets, turn_proxy.forward, turn_proxy.count)
    load_certificate(tls_listener, server)
    return tls_listener


def listeners_of(
    service: WebService,
    site: Site,
    server: Server,
    tls_listener: TlsListener | None,
    plain: list[socket.socket],
) -> list[Part]:
    """Applications and their sockets. The TLS listener leads to the first one. Raises Unavailable."""
    parts: list[Part] = [(service.site, plain)]
    if tls_listener is not None:
        default = site.url or local_origins(server.tls_listen, "https")[0]
        ready = partial(has_certificate, tls_listener)
        redirect = Redirect(service.hub.admission.origins, default, server.acme_dir, ready)
        parts = [(service.site, []), (CatchErrors(RequestLimits(redirect)), plain)]
    if server.metrics_listen is not None:
        parts.append((service.metrics_app, [process.listen(server.metrics_listen, "server.metrics_listen")]))
    return parts


def has_certificate(tls_listener: TlsListener) -> bool:
    return tls_listener.context is not None


def log_addresses(server: Server) -> None:
    for scheme, places in (("http", server.listen), ("https", server.tls_listen)):
        for host, port in places:
            log.info("serving %s://%s:%d", scheme, f"[{host}]" if ":" in host else host, port)


def periodic_tasks(service: WebService) -> list[PeriodicTask]:
    return [
        PeriodicTask(TICK_SECONDS, service.hub.tick),
        PeriodicTask(PURGE_SECONDS, service.purge),
        PeriodicTask(BANS_SECONDS, service.purge_bans),
    ]


def load_certificate(tls_listener: TlsListener, server: Server) -> None:
    """A missing file is no error: a certificate may come later, from an authority that asks this server over
    HTTP. Raises Unavailable."""
    assert server.certificate is not None, "the configuration was checked"
    assert server.key is not None, "the configuration was checked"
    if not server.certificate.exists():
        log.warning(
            "server.certificate is a file that does not exist yet: HTTPS starts when a reload finds it"
        )
        return
    try:
        certificate = Certificate(server.certificate, server.key)
        tls_listener.set_certificate(certificate)
        tls_listener.certificate_ends = expiry(certificate)
    except BadCertificate as problem:
        raise Unavailable(f"server.certificate, server.key: {problem}") from None


def reload(
    service: WebService, tls_listener: TlsListener | None, read: Callable[[], Reloaded], started_with: Server
) -> None:
    """Read certificate and secrets again. If one of them cannot be used, everything stays as it was."""
    systemd.reloading()
    try:
        server, ice, password = read()
        if tls_listener is not None and server.tls_listen:
            load_certificate(tls_listener, server)
        service.ice.settings = ice
        if service.login and password:
            service.login.password = password
        keys = waiting(started_with, server)
        log.info("reloaded the certificate and the secrets; changed keys that need a restart: %d", len(keys))
    except Exception as problem:  # its text may quote what the log must not hold
        log.error(
            "not reloaded, the old settings stay in use: %s; calln check shows what is wrong",
            type(problem).__name__,
        )
    finally:
        systemd.ready()


async def wait_for_calls(
    hub: Hub, shutdown: Shutdown, seconds: float, turn_clients: Collection[object] = ()
) -> None:
    """Let calls go on until they end, the time is over, or a second signal comes. `turn_clients` belong to
    calls that another server may have begun: they go on, too."""
    hub.drain()
    text = "ending: %d calls and %d TURN clients may go on for up to %d seconds"
    log.info(text, len(hub.lobby.rooms), len(turn_clients), seconds)
    deadline = hub.clock() + seconds
    while (hub.lobby.rooms or turn_clients) and hub.clock() < deadline and not shutdown.repeated.is_set():
        await asyncio.sleep(process.POLL_SECONDS)
    hub.close()
