"""The service put together: routes and guards as two lists, and a process that serves them."""

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
from server.ice import Ice, IceSettings
from server.process import Beside, Chore
from server.signalling.lobby import GRACE, Lobby
from server.signalling.matching import Queue
from server.signalling.reports import KEPT_SECONDS, LETTERS, Reports
from server.signalling.visitors import Means
from server.store.bans import Bans
from server.store.call_log import PURGE_SECONDS, CallLog, purge
from server.store.countries import BY_NAME
from server.store.geo import Database, open_database
from server.store.sqlite import Embedded
from server.web import pages
from server.web.login import ENTRANCE, MAX_FORM, TROUBLES, Porch
from server.web.metrics import Metrics
from server.web.middleware import Bounds, Headers, Hosts, Mistakes
from server.web.origins import hosts_of, local_origins, origins_of
from server.web.password import COOKIE_SECONDS, Lock
from server.web.redirect import Redirect
from server.web.tls_listener import Door
from server.web.turn_proxy import Tunnel
from server.web.websocket import Doors, Sockets, anybody

__all__ = ["Unavailable", "build", "run"]

log = logging.getLogger("calln.server")

SOCKET = "server.sock"
HTTP, HTTPS = "http", "https"  # what a service manager calls the sockets that it holds for us
CARRIED = "TURN clients that are handed on to the relay."
ENDS = "When the certificate is over, in seconds since 1970; 0: there is none that is good now."
NAME_BYTES = 16  # of visitors, calls and resume secrets: nobody guesses 128 bits
BANS_SECONDS = 60  # how long the address of an ended ban may stay
TICK_SECONDS = 0.5  # a ban by another process is noticed within a second


Part = tuple[ASGIApp, list[socket.socket]]
# The server's section of the file, what pages are told of the relay, and the site's password if it has one.
Told = tuple[Server, IceSettings, Lock | None]


class House(NamedTuple):
    """The service, ready to be served: what everybody reaches, what only the operator does, what is kept."""

    site: ASGIApp
    control: ASGIApp
    watch: ASGIApp
    sockets: Sockets
    state: Embedded
    log: CallLog
    ice: Ice
    porch: Porch | None

    def purge(self) -> None:
        purge(self.state, self.log, self.sockets.wall())

    def forget_bans(self) -> None:
        """Those that have ended, from file and memory."""
        if self.state.forget(calls_before=0, bans_until=int(self.sockets.wall())):
            self.sockets.bans.load()


def build(
    site: Site,
    server: Server,
    ice: IceSettings,
    state: Embedded,
    geo: Database | None = None,
    *,
    encrypted_only: str = "off",
    lock: Lock | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> House:
    """Everything but the listeners. The clocks are given, so that a test can move them."""
    current = Ice(ice)
    means = Means(
        lambda user: current.servers(user, wall()),
        fresh_name,
        geo is not None,
    )
    lobby = Lobby(means, Queue(server.rematch_seconds), Reports(lambda: secrets.choice(LETTERS)))
    origins = origins_of(site, server)
    context = pages.Context(
        site, BY_NAME if geo else [], facts_of(server, ice, geo, encrypted_only, lock is not None)
    )
    porch = None
    if lock is not None:
        texts = pages.forms(context, TROUBLES)
        porch = Porch(lock, texts, origins, server.trusted_proxies, clock, wall)
    doors = Doors(
        origins,
        server.trusted_proxies,
        server.connections_per_address,
        server.visitors,
        porch.admits if porch else anybody,
    )
    calls = CallLog(state, server.call_log_days)
    metrics = Metrics()
    sockets = Sockets(lobby, doors, Bans(state), calls, metrics, geo, clock, wall)
    observe(metrics, sockets)
    app = compose(pages.render(context), sockets, hosts_of(origins), porch)
    return House(app, admin.control(sockets), admin.watch(sockets), sockets, state, calls, current, porch)


def fresh_name() -> str:
    return secrets.token_urlsafe(NAME_BYTES)


def compose(
    texts: Mapping[str, str], sockets: Sockets, hosts: Mapping[str, str], porch: Porch | None
) -> Starlette:
    """What is served, and what stands before it, outermost first."""
    entrance = porch.before(pages.Page(texts["index.html"])) if porch else []
    routes = [*entrance, *pages.routes(texts), WebSocketRoute("/ws", sockets)]
    guards = [
        Middleware(Headers, hosts=hosts, forms="'self'" if porch else "'none'"),
        Middleware(Mistakes),
        Middleware(Bounds, bodies={ENTRANCE: MAX_FORM} if porch else {}),
        Middleware(Hosts, hosts=hosts),
    ]
    return Starlette(
        routes=routes,
        middleware=guards,
        exception_handlers={404: pages.missing(texts["not_found.html"])},
    )


def observe(metrics: Metrics, sockets: Sockets) -> None:
    lobby = sockets.lobby
    for name, text, ask in (
        ("calln_sockets", "Open sockets.", lambda: len(sockets.lines)),
        ("calln_present", "Visitors, those that may come back included.", lambda: len(lobby.visitors)),
        ("calln_waiting", "Visitors who wait.", lambda: len(lobby.queue)),
        ("calln_rooms", "Calls that go on.", lambda: len(lobby.rooms)),
        ("calln_bans", "Networks that are kept out.", lambda: len(sockets.bans)),
        ("calln_draining", "1 while no new visitors are taken.", lambda: int(lobby.draining)),
    ):
        metrics.watch(name, text, ask)


def facts_of(
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
        "resume_seconds": int(GRACE),
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
    lock: Lock | None = None,
    read: Callable[[], Told] | None = None,
) -> int:
    """Serve until told to end; the exit code. `read` reads the configuration anew on SIGHUP, and raises
    ValueError. Raises GeoError, StateError or Unavailable."""
    logs.start_logging()
    raise_descriptor_limit()  # each visitor holds one; the usual soft limit is 1,024
    database = open_database(geo.database) if geo.database else None
    state = Embedded(site.state_dir)
    try:
        house = build(site, server, ice, state, database, encrypted_only=encrypted_only, lock=lock)
        house.purge()
        gc.freeze()  # what is loaded stays: to look through it for garbage would stop all for 50 ms
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if server.tls_listen else None) as runner:
            runner.run(serve(house, site, server, read))
    finally:
        state.close()
    return 0


async def serve(house: House, site: Site, server: Server, read: Callable[[], Told] | None = None) -> None:
    """Raises Unavailable."""
    given, metrics = systemd.inherited_sockets(), house.sockets.metrics
    tunnel = Tunnel(site.state_dir / RELAY, partial(metrics.count, "connection"))
    metrics.watch("calln_turn_connections", CARRIED, lambda: len(tunnel.clients))
    door = made(server, given.get(HTTPS, []), tunnel) if server.tls_listen else None
    plain = given.get(HTTP) or [process.listen(at) for at in server.listen]
    if door is not None:
        metrics.watch("calln_certificate_ends_seconds", ENDS, lambda: door.ends)
    parts = parts_of(house, site, server, door, plain)
    with VersionedSocket(site.state_dir / SOCKET) as operator_socket:
        parts.append((house.control, [operator_socket.sock]))
        say_where(server)
        again = partial(reload, house, door, read, server) if read else lambda: None
        beside = Beside(door, operator_socket.publish, again, bool(given))
        last = partial(drain, house.sockets, seconds=server.drain_seconds, carried=tunnel.clients)
        await process.serve(parts, chores(house), Shutdown(), last, beside)
    tunnel.close()
    log.info("ended")


def made(server: Server, given: list[socket.socket], tunnel: Tunnel) -> Door:
    """Raises Unavailable."""
    sockets = given or [process.listen(at, "server.tls_listen") for at in server.tls_listen]
    door = Door(sockets, tunnel.carry, tunnel.note)
    show(door, server)
    return door


def parts_of(
    house: House, site: Site, server: Server, door: Door | None, plain: list[socket.socket]
) -> list[Part]:
    """The site first: a door leads to it. Raises Unavailable."""
    parts: list[Part] = [(house.site, plain)]
    if door is not None:
        main = site.url or local_origins(server.tls_listen, "https")[0]
        is_open = partial(is_shown, door)
        redirect = Redirect(house.sockets.doors.origins, main, server.acme_dir, is_open)
        parts = [(house.site, []), (Mistakes(Bounds(redirect)), plain)]
    if server.metrics_listen is not None:
        parts.append((house.watch, [process.listen(server.metrics_listen, "server.metrics_listen")]))
    return parts


def is_shown(door: Door) -> bool:
    """Whether it has a certificate."""
    return door.context is not None


def say_where(server: Server) -> None:
    for scheme, places in (("http", server.listen), ("https", server.tls_listen)):
        for host, port in places:
            log.info("serving %s://%s:%d", scheme, f"[{host}]" if ":" in host else host, port)


def chores(house: House) -> list[Chore]:
    return [
        Chore(TICK_SECONDS, house.sockets.tick),
        Chore(PURGE_SECONDS, house.purge),
        Chore(BANS_SECONDS, house.forget_bans),
    ]


def show(door: Door, server: Server) -> None:
    """A certificate may come later than the server: from an authority that asks it over HTTP. Raises
    Unavailable."""
    assert server.certificate is not None, "the configuration was checked"
    assert server.key is not None, "the configuration was checked"
    if not server.certificate.exists():
        log.warning("server.certificate is not there yet: only HTTP is answered until a reload finds it")
        return
    try:
        certificate = Certificate(server.certificate, server.key)
        door.present(certificate)
        door.ends = expiry(certificate)
    except BadCertificate as problem:
        raise Unavailable(f"server.certificate, server.key: {problem}") from None


def reload(house: House, door: Door | None, read: Callable[[], Told], started_with: Server) -> None:
    """Take in certificate and secrets as they are now; with a mistake everything stays as it was."""
    systemd.reloading()
    try:
        server, ice, lock = read()
        if door is not None and server.tls_listen:
            show(door, server)
        house.ice.settings = ice
        if house.porch and lock:
            house.porch.lock = lock
        keys = waiting(started_with, server)
        log.info("the certificate and the secrets were read anew; keys that wait for a start: %d", len(keys))
    except Exception as problem:  # its words may quote what the log must not hold
        log.error("all stays as it was: %s, which calln check shows", type(problem).__name__)
    finally:
        systemd.ready()


async def drain(
    sockets: Sockets, shutdown: Shutdown, seconds: float, carried: Collection[object] = ()
) -> None:
    """Let calls go on until they end, the time is over or the wish to end is repeated; also those of others,
    whose TURN clients are `carried`."""
    sockets.drain()
    told = "ending; %d calls and %d TURN clients go on for up to %d seconds"
    log.info(told, len(sockets.lobby.rooms), len(carried), seconds)
    deadline = sockets.clock() + seconds
    while (sockets.lobby.rooms or carried) and sockets.clock() < deadline and not shutdown.repeated.is_set():
        await asyncio.sleep(process.POLL_SECONDS)
    sockets.close()
