"""The ban list: one address or a whole network, for a while or until the ban is lifted."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from server.store import Ban, IPAddress, Network, Store
from turn.limits.addresses import HOUSEHOLD_BITS

MAX_REASON = 200


def network_of(text: str) -> Network:
    """Parse an address or a network; an IPv6 address stands for its /64. Raises ValueError."""
    try:
        if "/" not in text:
            return household(ip_address(text.strip("[]")))
        network = ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text:.60} is not an address or a network; write one such as 192.0.2.7 or 2001:db8::/48"
        ) from None
    if not network.prefixlen:
        raise ValueError(f"{network} would ban everybody; name a smaller network")
    return network


def household(address: IPAddress) -> Network:
    """The addresses of one household: an IPv4 address alone, or the /64 of an IPv6 address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return ip_network(address.ipv4_mapped)
        return ip_network((address, HOUSEHOLD_BITS), strict=False)
    return ip_network(address)


class Bans:
    """The ban list, with a copy in memory, so that `covers` is fast. Times are seconds since 1970."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.version = store.version()
        self.read_all()

    def read_all(self) -> None:
        index: dict[tuple[int, int], dict[int, int | None]] = {}
        bans = self.store.bans()
        for ban in bans:
            network = ban.network
            shift = network.max_prefixlen - network.prefixlen
            index.setdefault((network.version, shift), {})[int(network.network_address) >> shift] = ban.until
        self.index = index
        self.ends = {ban.network: ban.until for ban in bans}  # the end of each, the oldest ban first

    def __len__(self) -> int:
        return sum(map(len, self.index.values()))

    def refresh(self) -> bool:
        """Read the list again if another process has changed it; return whether it has."""
        version = self.store.version()
        changed = version != self.version
        if changed:
            self.read_all()
            self.version = version
        return changed

    def covers(self, address: IPAddress, wall: float) -> bool:
        """Whether this address is banned at this time."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        number = int(address)
        for (version, shift), untils in self.index.items():
            if version == address.version and number >> shift in untils:
                until = untils[number >> shift]
                if until is None or until > wall:
                    return True
        return False

    def add(self, network: Network, wall: float, seconds: int | None, reason: str) -> Ban:
        """Ban a network for so many seconds; None: until the ban is lifted."""
        until = None if seconds is None else int(wall) + seconds
        ban = Ban(network, int(wall), until, " ".join(reason.split())[:MAX_REASON])
        self.store.add_ban(ban)
        self.read_all()
        return ban

    def remove(self, network: Network) -> bool:
        removed = self.store.remove_ban(network)
        self.read_all()
        return removed

    def list(self, wall: float) -> list[Ban]:
        """The bans in force."""
        return [ban for ban in self.store.bans() if ban.until is None or ban.until > wall]
