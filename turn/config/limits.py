"""The `turn.limits:` section: what keeps one from using up what is there for all."""

from __future__ import annotations

from pydantic import Field

from host.settings import Count, Networks, Section
from turn.policies import Limits

DEFAULTS = Limits()  # the numbers stand there, once


class RelayLimits(Section):
    """What one user, one address and everybody together may use. 0 means no limit."""

    allocations_per_user: Count = Field(
        DEFAULTS.allocations_per_user,
        description="Allocations that one user may hold: a browser takes one for each transport in "
        "turn.listen and network that it is in (Wi-Fi, mobile, VPN), and the same again while ICE restarts. "
        "Those that end make room for others; twice as many may be new at once, then so many in 6 seconds.",
    )
    allocations_per_address: Count = Field(
        DEFAULTS.allocations_per_address,
        description="Allocations that one address (IPv6: one /64) may hold: an office shares one address.",
    )
    allocations: Count = Field(
        DEFAULTS.allocations, description="Allocations that the relay holds in all: bounds its memory."
    )
    packets_per_second: Count = Field(
        DEFAULTS.packets_per_second,
        description="Packets per second through one allocation, both ways together (burst: twice as many): "
        "keeps a thief of bandwidth small.",
    )
    bits_per_second: Count = Field(
        DEFAULTS.bits_per_second,
        description="Bits per second through one allocation, both ways together (burst: twice as many): "
        "keeps a thief of bandwidth small.",
    )
    unauthenticated_per_second: Count = Field(
        DEFAULTS.unauthenticated_per_second,
        description="Replies per second to one source without a valid nonce (burst: 4 times as many): "
        "a forged source address must not turn the relay into a reflector. Over TCP and TLS, where none can "
        "be forged, it is counted apart.",
    )
    unauthenticated_in_all: Count = Field(
        DEFAULTS.unauthenticated_in_all,
        description="The same for all sources over UDP together: what a flood from forged addresses can make "
        "this machine send, at about 90 bytes each.",
    )
    wrong_passwords: Count = Field(
        DEFAULTS.wrong_passwords,
        description="Wrong passwords for a static user from one address before that pair waits 30 seconds.",
    )
    permissions: Count = Field(
        DEFAULTS.permissions,
        description="Peer addresses that one allocation may talk to: bounds memory and slows a scan.",
    )
    channels: Count = Field(DEFAULTS.channels, description="Channels of one allocation: bounds memory.")
    connections: Count = Field(
        DEFAULTS.connections, description="TCP and TLS connections in all: bounds memory and open files."
    )
    connections_per_address: Count = Field(
        DEFAULTS.connections_per_address,
        description="TCP and TLS connections of one address (IPv6: one /64).",
    )
    new_peers_per_second: Count = Field(
        DEFAULTS.new_peers_per_second,
        description="New peers per second for one user (burst 256): slows a port scan.",
    )
    trusted: Networks = Field(
        (), description="Networks without the limits per address.", examples=[["10.1.0.0/16"]]
    )
