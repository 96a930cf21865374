"""What changes of this machine while the relay runs: its addresses, its default route, its public address."""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from turn.service.from_config import RelayConfig
from turn.service.own_addresses import own_addresses
from turn.service.public_address import RETRY_SECONDS, NoServer, PublicAddresses, default_sources

log = logging.getLogger("calln.relay")

PATIENCE = 15.0  # seconds for servers to answer, names included; the service manager waits for a minute
FAMILIES = {4: "IPv4", 16: "IPv6"}  # by the bytes of an address


class MachineAddresses(NamedTuple):
    """The addresses of the interfaces, and those that packets to the Internet leave from."""

    own: frozenset[bytes]
    sources: frozenset[bytes]

    @classmethod
    def read(cls) -> MachineAddresses:
        """Those of now. Raises OSError."""
        return cls(own_addresses(), default_sources())


class AddressWatch:
    """Replaces `external_ip: auto` by what it stands for, again whenever this machine has changed."""

    def __init__(self, written: RelayConfig) -> None:
        self.written = written
        self.public = PublicAddresses()
        self.machine = MachineAddresses.read()

    async def locate(self, written: RelayConfig) -> RelayConfig:
        """What the file says, with the public addresses of now. Raises NoServer."""
        try:
            async with asyncio.timeout(PATIENCE):
                turn, unknown = await asyncio.to_thread(self.public.resolve, written.turn)
        except TimeoutError:  # such as a name server that does not answer
            self.public.ask_again_in(RETRY_SECONDS)
            turn, unknown = self.public.as_known(written.turn)
        return written._replace(turn=turn, unknown=unknown)

    async def locate_again(self) -> RelayConfig:
        """The same for the file as it was last read; where no server may be asked, nothing is known."""
        try:
            return await self.locate(self.written)
        except NoServer:
            turn, unknown = self.public.as_known(self.written.turn)
            return self.written._replace(turn=turn, unknown=unknown)

    def is_due(self, machine: MachineAddresses) -> bool:
        """Whether it has to be looked for again."""
        return machine != self.machine or self.public.is_due()


def unreachable(config: RelayConfig) -> str:
    """The families in which nobody gets a relayed address yet; empty: some family works. Most machines have
    no IPv6, so its lack alone is not worth a word."""
    families = {len(address.ip) for address in config.turn.listen}
    if 4 in config.unknown or families <= config.unknown:
        return " and ".join(FAMILIES[size] for size in sorted(families & config.unknown))
    return ""


def report(before: RelayConfig | None, now: RelayConfig) -> None:
    """Say what is new of the public addresses, without them."""
    missing = unreachable(now)
    if before is not None and before.turn.external_ip != now.turn.external_ip:
        log.info("the public address of this machine has changed")
    if missing and (before is None or unreachable(before) != missing):
        log.warning(
            "no public address is known yet: nobody gets a relayed address over %s; it is looked for again",
            missing,
        )
