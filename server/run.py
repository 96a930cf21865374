"""The web service as a process: it opens its listeners, serves, reloads, and lets calls go on at its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop
from starlette.types import ASGIApp

from host import logs, systemd
from host.attempts import Attempts
from host.certificates import expiry
from host.settings import IPNetwork, waiting
from host.shutdown import Shutdown
from host.startup import StateUnavailable, Unavailable, forbid_core_dumps, raise_descriptor_limit, refuse_root
from host.tls import BadCertificate, Certificate
from host.unix_socket import RELAY, VersionedSocket
from server import process
from server.app import WebService, build
from server.config.geo import Geo
from server.config.server import Server
from server.config.site import Site
from server.ice import IceSettings
from server.process import PeriodicTask, ServeOptions
from server.relay_questions import RelayQuestion
from server.relay_ways import way_to
from server.store.call_log import PURGE_SECONDS
from server.store.geo import Database, GeoError, open_database
from server.store.lasting import LastingStore
from server.web.connections import WebConnections
from server.web.look import NO_LOOK, Look
from server.web.middleware import CatchErrors, RequestLimits, RequestRate
from server.web.origins import local_origins
from server.web.password import SitePassword
from server.web.redirect import Redirect
from server.web.sentences import Sentences
from server.web.tls_listener import TlsListener
from server.web.tokens import Tokens
from server.web.turn_proxy import TurnProxy
from server.web.websocket import Hub

log = logging.getLogger("calln.server")

SOCKET = "server.sock"
HTTP, HTTPS = "http", "https"  # names of the sockets that a service manager holds for us
CONNECTIONS = "Open TCP connections of the web server."
TURN_CONNECTIONS = "TURN clients whose connections are passed on to the relay."
CERTIFICATE_ENDS = "When the certificate ends, in seconds since 1970; 0: there is none that is valid now."
BANS_SECONDS = 60  # how long the address of an ended ban may stay in file and memory
OLD_ROWS = "the deletion of old calls and bans"
TICK_SECONDS = 0.5  # so that a ban by another process works within a second

Part = tuple[ASGIApp, list[socket.socket]]


class WebConfig(NamedTuple):
    """What the web service is configured by, at its start and again at each reload."""

    site: Site
    server: Server
    geo: Geo
    ice: IceSettings
    password: SitePassword | None = None
    encrypted_only: str = "off"
    trusted: tuple[IPNetwork, ...] = ()  # networks that have no limits by address
    look: Look = NO_LOOK
    tokens: Tokens | None = None  # of other web applications


def run(config: WebConfig, read: Callable[[], WebConfig] | None = None) -> int:
    """Serve until a signal ends it; return the exit code. `read` reads the configuration again on SIGHUP and
    may raise ValueError. Raises Unavailable."""
    refuse_root(config.site.state_dir)
    logs.start_logging()
    forbid_core_dumps()
    files = raise_descriptor_limit()  # each visitor holds one; the usual soft limit is 1,024
    site, server, geo, ice, password, mode, trusted, look, tokens = config
    database = open_countries(geo)
    if database is None and any(ice.near.values()):
        log.warning("relays have countries, but without geo.database no visitor has: all get any relay")
    store = LastingStore(site.state_dir)
    try:
        service = build(
            site,
            server,
            ice,
            store,
            database,
            encrypted_only=mode,
            password=password,
            look=look,
            trusted=trusted,
            tokens=tokens,
        )
        with Attempts(OLD_ROWS, log).attempt():  # a full disk, perhaps: the page works without it
            service.purge()
        gc.freeze()  # what is loaded stays: a collection over all of it would stop everything for 50 ms
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if server.tls_listen else None) as runner:
            runner.run(serve_web(service, config, read, files))
    finally:
        store.close()
    return 0


def open_countries(geo: Geo) -> Database | None:
    """None, too, if the file cannot be used, for example because an update of it broke off: a site without
    countries is better than none."""
    try:
        return open_database(geo.database) if geo.database else None
    except GeoError as problem:
        log.error("visitors have no country until the next start: %s", problem)
        return None


async def serve_web(
    service: WebService,
    config: WebConfig,
    read: Callable[[], WebConfig] | None = None,
    files: int | None = None,
) -> None:
    """Open the listeners and serve until the shutdown. `files` is how many this process may have open, None
    for no limit. Raises Unavailable."""
    site, server = config.site, config.server
    given, metrics = systemd.inherited_sockets(), service.hub.metrics
    connections = WebConnections(
        server.connections_per_address,
        files,
        service.exempt.includes,
        partial(metrics.increment, "connection"),
    )
    metrics.add_gauge("calln_open_connections", CONNECTIONS, lambda: connections.total)
    turn_proxy = TurnProxy(site.state_dir / RELAY, partial(metrics.increment, "connection"))
    metrics.add_gauge("calln_turn_connections", TURN_CONNECTIONS, lambda: len(turn_proxy.clients))
    tls_listener = (
        make_tls_listener(server, given.get(HTTPS, []), turn_proxy, connections)
        if server.tls_listen
        else None
    )
    plain = given.get(HTTP) or [process.listen(at) for at in server.listen]
    if tls_listener is not None:
        metrics.add_gauge(
            "calln_certificate_ends_seconds", CERTIFICATE_ENDS, lambda: tls_listener.certificate_ends
        )
    parts = listeners_of(service, site, server, tls_listener, plain)
    with operator_socket(site.state_dir) as (sockets, publish):
        parts.append((service.operator_app, sockets))
        log_addresses(server)
        on_reload = partial(reload, service, tls_listener, read, config) if read else lambda: None
        options = ServeOptions(tls_listener, connections, publish, on_reload, bool(given))
        finish = partial(
            wait_for_calls, service.hub, seconds=server.drain_seconds, turn_clients=turn_proxy.clients
        )
        unix_socket = site.state_dir / RELAY
        service.links.start(partial(way_to, settings=service.ice.current, unix_socket=unix_socket))
        service.watch.start(
            lambda host: RelayQuestion(host, service.ice.current, unix_socket, time.monotonic)
        )
        try:
            await process.serve(parts, periodic_tasks(service), Shutdown(), finish, options)
        finally:
            await service.watch.stop_asking()
            await service.links.finish()
    turn_proxy.close()
    log.info("ended")


@contextmanager
def operator_socket(state_dir: Path) -> Iterator[tuple[list[socket.socket], Callable[[], None]]]:
    """Where commands reach this server, and what makes it known. Visitors need no state folder: where it
    cannot be used, there is no such socket. Raises Unavailable if the folder itself is wrong."""
    try:
        versioned = VersionedSocket(state_dir / SOCKET)
    except StateUnavailable as problem:
        log.error(
            "%s: %s; this server serves without it, so calln reports reaches it only after a restart",
            *(problem, logs.describe(problem.error)),
        )
        yield [], lambda: None
        return
    with versioned:
        yield [versioned.sock], versioned.publish


def make_tls_listener(
    server: Server, given: list[socket.socket], turn_proxy: TurnProxy, connections: WebConnections
) -> TlsListener:
    """`given` are sockets of a service manager, if it has any. Raises Unavailable."""
    sockets = given or [process.listen(at, "server.tls_listen") for at in server.tls_listen]
    tls_listener = TlsListener(sockets, turn_proxy.forward, turn_proxy.count, connections)
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
        sentences = Sentences(site.languages)
        redirect = Redirect(service.hub.admission.rules.origins, default, server.acme_dir, ready, sentences)
        limited = RequestRate(RequestLimits(redirect, sentences), sentences, service.hub.may_request)
        parts = [(service.site, []), (CatchErrors(limited, sentences), plain)]
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
        PeriodicTask("the look at visitors and bans", TICK_SECONDS, service.hub.tick),
        PeriodicTask(OLD_ROWS, PURGE_SECONDS, service.purge),
        PeriodicTask("the deletion of ended bans", BANS_SECONDS, service.purge_bans),
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
    service: WebService,
    tls_listener: TlsListener | None,
    read: Callable[[], WebConfig],
    started_with: WebConfig,
) -> None:
    """Read certificate and secrets again. If one of them cannot be used, everything stays as it was."""
    systemd.reloading()
    try:
        config = read()
        if tls_listener is not None and config.server.tls_listen:
            load_certificate(tls_listener, config.server)
        service.ice.settings = config.ice
        service.exempt.trusted = config.trusted
        service.links.follow_settings()
        service.watch.follow_settings()
        if service.login and config.password:
            service.login.password = config.password
        if service.ice_api and config.tokens:
            service.ice_api.tokens = config.tokens
        keys = changed_at_start(started_with, config)
        log.info("reloaded the certificate and the secrets; changed keys that need a restart: %d", len(keys))
    except Exception as problem:  # its text may quote what the log must not hold
        log.error(
            "not reloaded, the old settings stay in use: %s; calln check shows what is wrong",
            type(problem).__name__,
        )
    finally:
        systemd.ready()


def changed_at_start(before: WebConfig, now: WebConfig) -> list[str]:
    """The keys whose change waits for the next start, such as `site.name`."""
    sections = (
        ("site", before.site, now.site),
        ("server", before.server, now.server),
        ("server.ice_api", before.server.ice_api, now.server.ice_api),
        ("geo", before.geo, now.geo),
    )
    return [f"{name}.{key}" for name, old, new in sections for key in waiting(old, new)]


async def wait_for_calls(
    hub: Hub, shutdown: Shutdown, seconds: float, turn_clients: Collection[object] = ()
) -> None:
    """Let calls go on until they end, the time is over, or a second signal comes. `turn_clients` belong to
    calls that another server may have begun: they go on, too."""
    hub.drain()
    text = "ending: %d calls and %d TURN clients may go on for up to %d seconds"
    log.info(text, len(hub.lobby.calls.rooms), len(turn_clients), seconds)
    deadline = hub.clock() + seconds
    while (
        (hub.lobby.calls.rooms or turn_clients) and hub.clock() < deadline and not shutdown.repeated.is_set()
    ):
        await asyncio.sleep(process.POLL_SECONDS)
    hub.close()
