"""Networks whose clients are refused for a while. The server of the page says which, and says it again."""

from __future__ import annotations

from collections.abc import Iterator

MAX_BANS = 4096  # bounds memory; then no more are taken, and the oldest stay
LIFTED_SECONDS = 120.0  # in which what was known before a ban was lifted does not bring it back

BanKey = tuple[int, int, int]  # bytes of the family's addresses, bits behind the prefix, the bits before


def ban_key(ip: bytes, prefix: int) -> BanKey:
    shift = 8 * len(ip) - prefix
    return len(ip), shift, int.from_bytes(ip) >> shift


class BannedNetworks:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._index: dict[tuple[int, int], dict[int, float]] = {}
        self._lifted: dict[BanKey, float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._index.values()))

    def ban(self, ip: bytes, prefix: int, end: float, now: float) -> bool:
        """Whether it is new, so that clients of it may be here."""
        size, shift, bits = key = ban_key(ip, prefix)
        ends = self._index.setdefault((size, shift), {})
        known = ends.get(bits, now) > now
        if not known and len(self) >= MAX_BANS:
            return False
        ends[bits] = end
        self._lifted.pop(key, None)
        return not known

    def was_lifted(self, ip: bytes, prefix: int, now: float) -> bool:
        return self._lifted.get(ban_key(ip, prefix), now) > now

    def lift(self, ip: bytes, prefix: int, now: float) -> None:
        size, shift, bits = key = ban_key(ip, prefix)
        if self._index.get((size, shift), {}).pop(bits, None) is not None and len(self._lifted) < MAX_BANS:
            self._lifted[key] = now + LIFTED_SECONDS

    def covers(self, ip: bytes, now: float) -> bool:
        number = None
        for (size, shift), ends in self._index.items():
            if size == len(ip) and ends:
                number = int.from_bytes(ip) if number is None else number
                if ends.get(number >> shift, now) > now:
                    return True
        return False

    def living(self, now: float) -> Iterator[tuple[bytes, int, float]]:
        """Address, prefix and end of each ban in force."""
        for (size, shift), ends in self._index.items():
            for bits, end in ends.items():
                if end > now:
                    yield (bits << shift).to_bytes(size), 8 * size - shift, end

    def purge(self, now: float) -> None:
        """Forget what is over."""
        kept = {
            row: {bits: end for bits, end in ends.items() if end > now} for row, ends in self._index.items()
        }
        self._index = {row: ends for row, ends in kept.items() if ends}
        self._lifted = {key: end for key, end in self._lifted.items() if end > now}
