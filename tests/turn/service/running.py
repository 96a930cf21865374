"""The whole relay in this process, and what it is configured with."""

from __future__ import annotations

from tests.ports import relayed_ports
from tests.turn.engines.world import World
from turn.config.section import Turn
from turn.core.relay import Relay
from turn.engines import Failure
from turn.engines.portable.engine import Portable
from turn.flows import Address, Packet, Transport
from turn.service.from_config import RelayConfig, relay_settings
from turn.service.service import Service

LOOPBACK = frozenset((b"\x7f\0\0\1", bytes(15) + b"\1"))
SECRET = b"sixteen bytes or more"
RELAYED = relayed_ports()
ALICE = ("alice", "password of hers")


def turn(**keys: object) -> Turn:
    """At this machine alone, and for plain words too."""
    local = {"listen": "127.0.0.1:3478", "relay_ports": RELAYED, "allow_loopback_peers": True}
    return Turn.model_validate({**local, "encrypted_only": "off", **keys})


class Running(World):
    """The whole relay on one port of loopback, in this process."""

    def __init__(
        self, version: int = 4, relay: type[Relay] = Relay, transport: Transport = "udp", **keys: object
    ) -> None:
        super().__init__(Portable, version, transport=transport)
        keys.setdefault("users", {"alice": "password of hers"})
        config = RelayConfig(turn(**keys), [SECRET])
        self.relay = relay(relay_settings(config, [self.listener], LOOPBACK))
        self.service = Service(self.relay, self.engine)

    def receive(self, packet: Packet) -> None:
        self.service.on_packet(packet)

    def lose(self, client: Address, listener: Address) -> None:
        self.service.on_lost(client, listener)

    def fail(self, failure: Failure) -> None:
        self.service.on_failure(failure)

    def note(self, error: Exception) -> None:
        self.service.count_mishap(error)
