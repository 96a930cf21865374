"""What a browser is told about our own STUN and TURN server: its addresses, and a credential for a while."""

from __future__ import annotations

from typing import Any, NamedTuple

from turn.credentials import mint


class IceSettings(NamedTuple):
    """Where browsers reach the relay, the secret shared with it, and how long a credential is good."""

    host: str
    ports: tuple[int, ...]
    secret: bytes
    seconds: int


def ice_servers(settings: IceSettings, user: str, wall: float) -> dict[str, Any]:
    """An RTCConfiguration's `iceServers` for one user, good for `expires_in` seconds from `wall`."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    username, password = mint(settings.secret, user, int(wall) + settings.seconds)
    relay = {
        "urls": [f"turn:{host}:{port}?transport=udp" for port in settings.ports],
        "username": username,
        "credential": password,
    }
    stun = {"urls": [f"stun:{host}:{port}" for port in settings.ports]}
    return {"iceServers": [stun, relay], "expires_in": settings.seconds}
