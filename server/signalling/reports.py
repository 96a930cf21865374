"""Reports: a code stands for the partner's address, so that an operator can ban it without seeing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

IPAddress = IPv4Address | IPv6Address

KEPT_SECONDS = 30 * 60.0
MAX_PER_NETWORK = 20  # from one household: its oldest are removed, not those of others
MAX_REPORTS = 1_000  # the oldest are removed: a flood of reports must not fill the memory
CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # no 0 O, 1 I L: codes are read aloud and typed


@dataclass(frozen=True, slots=True)
class FiledReport:
    """Somebody was reported. `address` is the reported one; it leaves the process only into the ban list."""

    code: str
    reason: str
    address: IPAddress | None
    time: float
    reporter_network: bytes | None


class Reports:
    """`letter` gives one of LETTERS that nobody can guess."""

    def __init__(self, letter: Callable[[], str]) -> None:
        self.random_letter = letter
        self.by_code: dict[str, FiledReport] = {}
        self.by_call: dict[tuple[str, str], str] = {}

    def add(
        self,
        call: str,
        reporter: str,
        reason: str,
        address: IPAddress | None,
        now: float,
        reporter_address: IPAddress | None = None,
    ) -> FiledReport:
        """Add a report. A second one of the same call by the same visitor replaces the first."""
        self.expire(now)
        home = network_key(reporter_address)
        code = self.by_call.get((call, reporter)) or self.new_code()
        self.by_code.pop(code, None)
        self.by_code[code] = report = FiledReport(code, reason, address, now, home)
        self.by_call[call, reporter] = code
        self.make_room(home)
        self.expire(now)
        return report

    def make_room(self, home: bytes | None) -> None:
        own = [report.code for report in self.by_code.values() if report.reporter_network == home]
        if home is not None and len(own) > MAX_PER_NETWORK:
            self.remove({own[0]})

    def new_code(self) -> str:
        """A code that is not in use, such as K7Q2-M9XD."""
        while True:
            code = "-".join("".join(self.random_letter() for _ in range(4)) for _ in range(2))
            if code not in self.by_code:
                return code

    def lookup(self, code: str, now: float) -> FiledReport | None:
        self.expire(now)
        return self.by_code.get(code.strip().upper())

    def all(self, now: float) -> Iterator[FiledReport]:
        self.expire(now)
        return iter(self.by_code.values())

    def expire(self, now: float) -> None:
        """Remove old reports, and the oldest if there are too many."""
        gone: set[str] = set()
        for report in list(self.by_code.values()):
            if report.time + KEPT_SECONDS > now and len(self.by_code) - len(gone) <= MAX_REPORTS:
                break
            gone.add(report.code)
        if gone:
            self.remove(gone)

    def remove(self, codes: set[str]) -> None:
        self.by_code = {code: report for code, report in self.by_code.items() if code not in codes}
        self.by_call = {key: code for key, code in self.by_call.items() if code not in codes}


def network_key(address: IPAddress | None) -> bytes | None:
    """The addresses of one household: one IPv4 address, or a /64 of IPv6."""
    return address.packed[:8] if address is not None else None
