"""Reports: a code stands for the partner's address, so that an operator can ban it without seeing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from server.signalling.pseudonyms import UNKNOWN, IPAddress, Pseudonyms, site_of
from turn.limits.addresses import SITE_FACTOR

KEPT_SECONDS = 30 * 60.0
MAX_PER_NETWORK = 20  # from one address or /64, twice as many from a /48: its own oldest are removed
MAX_REPORTS = 1_000  # then the network that filed most loses its oldest: bounds the memory


@dataclass(frozen=True, slots=True)
class FiledReport:
    """Somebody was reported. `address` is the reported one; it leaves the process only into the ban list.
    `reported` and `reporter` are names for the networks of the two (server.signalling.pseudonyms)."""

    code: str
    reason: str
    address: IPAddress | None
    time: float
    reported: str
    reporter: str


class Reports:
    """`letter` gives a letter that nobody can guess, `new_key` a random key."""

    def __init__(self, letter: Callable[[], str], new_key: Callable[[], bytes]) -> None:
        self.random_letter = letter
        self.pseudonyms = Pseudonyms(new_key)
        self.by_code: dict[str, FiledReport] = {}
        self.by_call: dict[tuple[str, str], str] = {}
        self.filed: Counter[str] = Counter()  # how many reports are kept, by name of /48 and of reporter

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
        before = self.by_call.get((call, reporter))
        code = before or self.new_code()
        if before is not None:
            self.remove({before})
        reported, name = (self.pseudonyms.name(one, now) for one in (address, reporter_address))
        self.by_code[code] = report = FiledReport(code, reason, address, now, reported, name)
        self.by_call[call, reporter] = code
        self.count(report, 1)
        self.make_room(name)
        return report

    def count(self, report: FiledReport, number: int) -> None:
        for name in {report.reporter, site_of(report.reporter)}:
            self.filed[name] += number
            if not self.filed[name]:
                del self.filed[name]

    def make_room(self, name: str) -> None:
        """Remove the oldest of a network that filed too many: a flood removes its own reports only."""
        if name != UNKNOWN:
            for network, most in ((name, MAX_PER_NETWORK), (site_of(name), MAX_PER_NETWORK * SITE_FACTOR)):
                if self.filed[network] > most:
                    self.remove_oldest(network)
        if len(self.by_code) > MAX_REPORTS:
            self.remove_oldest(max(self.filed, key=self.filed.__getitem__))

    def remove_oldest(self, network: str) -> None:
        found = (one for one in self.by_code.values() if network in (one.reporter, site_of(one.reporter)))
        self.remove({next(found).code})

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
        """Remove old reports."""
        gone: set[str] = set()
        for report in self.by_code.values():
            if report.time + KEPT_SECONDS > now:
                break
            gone.add(report.code)
        if gone:
            self.remove(gone)

    def remove(self, codes: set[str]) -> None:
        for code in codes:
            self.count(self.by_code.pop(code), -1)
        self.by_call = {key: code for key, code in self.by_call.items() if code not in codes}
