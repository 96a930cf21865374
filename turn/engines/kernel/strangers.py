"""At which listeners the program answers strangers, how often, and how many it has answered and refused.

A request that it cannot answer goes up, and counts for the core's limits, too. So who mixes these with
others that the program does not know gets at most twice as many answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from turn.engines.kernel import layout
from turn.engines.kernel.layout import (
    MAX_TRUSTED,
    NETWORK,
    NETWORKS_AT,
    STRANGER_COUNTS,
    STRANGER_COUNTS_AT,
    STRANGERS_AT,
    TRUSTED_AT,
    TRUSTED_COUNT,
)
from turn.engines.kernel.maps import Maps
from turn.engines.kernel.riders import Riders
from turn.flows import Address
from turn.policies import Network, StrangerLimits

COUNTED = ("replies.binding", "drops.strangers", "drops.all strangers", "drops.source")  # as the core has it
NO_SLOT = 0


class Strangers:
    """What the program does for `listeners`, which may be wildcards. Nothing until limits are set."""

    def __init__(self, program: Maps, riders: Riders, listeners: Iterable[Address]) -> None:
        self.program, self.riders = program, riders
        self.listeners = [listener for listener in listeners if listener.transport == "udp"]
        self.keys: list[bytes] = []
        self.before = self.read()  # another process has counted

    def serve(self, limits: StrangerLimits | None) -> None:
        """Answer within these limits; None, or more trusted networks than there is room for: leave all."""
        if limits is None or len(limits.trusted) > MAX_TRUSTED:
            self.leave()
            return
        config = self.program.config
        config[STRANGERS_AT : STRANGERS_AT + layout.STRANGERS.size] = layout.strangers(limits)
        self.trust(limits.trusted)
        for key in map(layout.served_key, self.listeners):
            if key not in self.keys and self.riders.mark(key, NO_SLOT):
                self.keys.append(key)

    def trust(self, networks: Sequence[Network]) -> None:
        """Meanwhile nobody is trusted."""
        config = self.program.config
        TRUSTED_COUNT.pack_into(config, TRUSTED_AT, 0)
        for number, network in enumerate(networks):
            at = NETWORKS_AT + number * NETWORK.size
            config[at : at + NETWORK.size] = layout.network(network)
        TRUSTED_COUNT.pack_into(config, TRUSTED_AT, len(networks))

    def leave(self) -> None:
        """All that strangers ask goes up again."""
        for key in self.keys:
            self.riders.unmark(key)
        self.keys.clear()

    def read(self) -> tuple[int, ...]:
        return STRANGER_COUNTS.unpack_from(self.program.config, STRANGER_COUNTS_AT)

    def counts(self) -> dict[str, int]:
        """Since this process began, by the core's names; those of nothing are not there."""
        since = (now - then for now, then in zip(self.read(), self.before, strict=True))
        return {name: number for name, number in zip(COUNTED, since, strict=True) if number}
