"""Ports for servers under test, of which nobody else has any use meanwhile."""

from __future__ import annotations

import secrets
import socket

LOWEST, PAST = 23_000, 26_000  # around it lie relayed addresses of tests, and what the system gives out


def free_port() -> int:
    """A port that UDP and TCP have free in both families."""
    while True:
        port = LOWEST + secrets.randbelow(PAST - LOWEST)
        with (
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as tcp,
        ):
            try:
                udp.bind(("::", port))
                tcp.bind(("::", port))
            except OSError:
                continue
            return port
