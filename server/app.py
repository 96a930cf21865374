"""The service put together: routes and guards as two lists, and a process that serves them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from server import admin, pages, process
from server.bans import Bans
from server.calls import PURGE_SECONDS, CallLog, purge
from server.config import Geo, Server, Site
from server.countries import BY_NAME
from server.geo import Database, open_database
from server.guards import Bounds, Headers, Hosts, Mistakes
from server.ice import IceSettings, ice_servers
from server.lobby import GRACE, Lobby
from server.matching import Queue
from server.metrics import Metrics
from server.origins import hosts_of, origins_of
from server.process import Chore, End, Unavailable
from server.reports import KEPT_SECONDS, LETTERS, Reports
from server.sockets import Doors, Sockets
from server.state.embedded import Embedded
from server.visitors import Means
from turn import logs

__all__ = ["Unavailable", "build", "run"]

log = logging.getLogger("calln.server")

SOCKET = "server.sock"
NAME_BYTES = 16  # of visitors, calls and resume secrets: nobody guesses 128 bits
BANS_SECONDS = 60  # how long the address of an ended ban may stay
TICK_SECONDS = 0.5  # a ban by another process is noticed within a second


class House(NamedTuple):
    """The service, ready to be served: what everybody reaches, what only the operator does, what is kept."""

    site: ASGIApp
    control: ASGIApp
    watch: ASGIApp
    sockets: Sockets
    state: Embedded
    log: CallLog

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
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> House:
    """Everything but the listeners. The clocks are given, so that a test can move them."""
    means = Means(
        lambda user: ice_servers(ice, user, wall()),
        fresh_name,
        geo is not None,
    )
    lobby = Lobby(means, Queue(server.rematch_seconds), Reports(lambda: secrets.choice(LETTERS)))
    origins = origins_of(site, server)
    doors = Doors(origins, server.trusted_proxies, server.connections_per_address, server.visitors)
    calls = CallLog(state, server.call_log_days)
    metrics = Metrics()
    sockets = Sockets(lobby, doors, Bans(state), calls, metrics, geo, clock, wall)
    observe(metrics, sockets)
    facts = facts_of(server, ice, geo, encrypted_only)
    texts = pages.render(pages.Context(site, BY_NAME if geo else [], facts))
    app = compose(texts, sockets, hosts_of(origins))
    return House(app, admin.control(sockets), admin.watch(sockets), sockets, state, calls)


def fresh_name() -> str:
    return secrets.token_urlsafe(NAME_BYTES)


def compose(texts: Mapping[str, str], sockets: Sockets, hosts: Mapping[str, str]) -> Starlette:
    """What is served, and what stands before it, outermost first."""
    routes = [*pages.routes(texts), WebSocketRoute("/ws", sockets)]
    guards = [
        Middleware(Headers, hosts=hosts),
        Middleware(Mistakes),
        Middleware(Bounds),
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


def facts_of(server: Server, ice: IceSettings, geo: Database | None, encrypted_only: str) -> dict[str, Any]:
    """What this server really does, for the privacy page."""
    return {
        "relay": ice.host,
        "own_stun": True,
        "encrypted_only": encrypted_only,
        "hide_address": True,
        "ban_list": True,
        "call_log_days": server.call_log_days,
        "report_minutes": int(KEPT_SECONDS // 60),
        "resume_seconds": int(GRACE),
        "geo_attribution": geo.credit if geo else None,
        "proxied": bool(server.trusted_proxies),
    }


def run(site: Site, server: Server, geo: Geo, ice: IceSettings, *, encrypted_only: str = "off") -> int:
    """Serve until told to end; the exit code. Raises GeoError, StateError or Unavailable."""
    logs.start()
    process.allow_descriptors()
    database = open_database(geo.database) if geo.database else None
    state = Embedded(site.state_dir)
    try:
        house = build(site, server, ice, state, database, encrypted_only=encrypted_only)
        house.purge()
        asyncio.run(serve(house, site, server))
    finally:
        state.close()
    return 0


async def serve(house: House, site: Site, server: Server) -> None:
    place = site.state_dir / SOCKET
    parts = [(house.site, [process.listen(at) for at in server.listen])]
    if server.metrics_listen is not None:
        parts.append((house.watch, [process.listen(server.metrics_listen)]))
    parts.append((house.control, [process.listen_here(place)]))
    chores = [
        Chore(TICK_SECONDS, house.sockets.tick),
        Chore(PURGE_SECONDS, house.purge),
        Chore(BANS_SECONDS, house.forget_bans),
    ]
    for host, port in server.listen:
        log.info("serving http://%s:%d", f"[{host}]" if ":" in host else host, port)
    await process.serve(parts, chores, End(), lambda end: drain(house.sockets, end, server.drain_seconds))
    remove(place)
    log.info("ended")


async def drain(sockets: Sockets, end: End, seconds: float) -> None:
    """Let calls go on until they end, the time is over or the wish to end is repeated."""
    sockets.drain()
    log.info("ending; %d calls go on for up to %d seconds", len(sockets.lobby.rooms), seconds)
    deadline = sockets.clock() + seconds
    while sockets.lobby.rooms and sockets.clock() < deadline and not end.twice.is_set():
        await asyncio.sleep(process.POLL_SECONDS)
    sockets.close()


def remove(place: Path) -> None:
    """The control socket, unless a newer server has put its own there."""
    if place.is_socket() and process.is_dead(place):
        place.unlink(missing_ok=True)
