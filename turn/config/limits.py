"""The `turn.limits:` section: what keeps one user from taking everything."""

from __future__ import annotations

from pydantic import Field

from host.settings import Count, Networks, Section
from turn.policies import Limits

DEFAULTS = Limits()  # the numbers stand there, once


class RelayLimits(Section):
    """How much one user, one address and all users together may use. 0 means no limit. A /64 of IPv6 counts
    as one address. All of a /48 may use twice as much: many providers give one household a /56 or a /48."""

    allocations_per_user: Count = Field(
        DEFAULTS.allocations_per_user,
        description="Allocations that one user may hold at a time. A browser opens one for each transport in "
        "turn.listen and each network of its machine (Wi-Fi, mobile, VPN), and the same number again while "
        "ICE restarts. New ones: at most twice this number at once, then this number in 6 seconds.",
    )
    allocations_per_address: Count = Field(
        DEFAULTS.allocations_per_address,
        description="Allocations that one address may hold at a time, so that nobody can use up the relay. A "
        "whole office may share one address. New ones: at most twice this number at once, then this number "
        "in 6 seconds.",
    )
    allocations: Count = Field(
        DEFAULTS.allocations,
        description="Allocations of all users together. This limits the memory of the relay.",
    )
    packets_per_second: Count = Field(
        DEFAULTS.packets_per_second,
        description="Packets per second through one allocation, both directions together (burst: twice as "
        "many). A call needs far less; other uses of the relay are slowed down.",
    )
    bits_per_second: Count = Field(
        DEFAULTS.bits_per_second,
        description="Bits per second through one allocation, both directions together (burst: twice as "
        "many). A call needs far less; other uses of the relay are slowed down.",
    )
    unauthenticated_per_second: Count = Field(
        DEFAULTS.unauthenticated_per_second,
        description="Replies per second to one address that has not yet shown a valid nonce (burst: 4 times "
        "as many). Attackers with forged addresses cannot use the relay to flood others then. TCP and TLS, "
        "where addresses cannot be forged, are counted separately.",
    )
    unauthenticated_in_all: Count = Field(
        DEFAULTS.unauthenticated_in_all,
        description="The same for all addresses over UDP together: the most that a flood from forged "
        "addresses makes this machine send, at about 90 bytes each.",
    )
    wrong_passwords: Count = Field(
        DEFAULTS.wrong_passwords,
        description="Wrong passwords for one user in turn.users from one address. After that, this user must "
        "wait 30 seconds at this address. This slows down guessing.",
    )
    permissions: Count = Field(
        DEFAULTS.permissions,
        description="Peer addresses that one allocation may send to. This limits memory and slows down "
        "scans. One request may name all of them, up to 1024.",
    )
    channels: Count = Field(DEFAULTS.channels, description="Channels of one allocation. This limits memory.")
    connections: Count = Field(
        DEFAULTS.connections,
        description="TCP and TLS connections of all clients together. This limits memory and open files.",
    )
    connections_per_address: Count = Field(
        DEFAULTS.connections_per_address,
        description="TCP and TLS connections of one address, so that nobody can use up connections. At "
        "most 128 of them may be without an allocation.",
    )
    new_peers_per_second: Count = Field(
        DEFAULTS.new_peers_per_second,
        description="New peer addresses per second for one user (burst: 256). This slows down port scans.",
    )
    trusted: Networks = Field(
        (),
        description="Networks that have no limits per address, neither here nor in server, but for wrong "
        "passwords and reports.",
        examples=[["10.1.0.0/16"]],
    )
