"""What a row of the table of foreign clients is: who does what, how, and what has to come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tests.interop.relay import HOSTS, PASSWORD, SECOND, SECRET, USER, Relay, time_limited

COUNT = 20  # messages that each client has to get through
# Seconds that a long row goes on: through permission (300), nonce, channel and allocation (600 each).
LONG = 700
STARTING = 120.0  # seconds that a client gets beside them, on a busy machine, too


class Way(NamedTuple):
    """How a client reaches the relay."""

    transport: str
    family: str


WAYS: dict[str, Way] = {
    "UDP": Way("udp", "IPv4"),
    "UDP, v6": Way("udp", "IPv6"),
    "TCP": Way("tcp", "IPv4"),
    "TCP, v6": Way("tcp", "IPv6"),
    "TLS": Way("tls", "IPv4"),
    "TLS, v6": Way("tls", "IPv6"),
}
FINE = "ok"
ALL = dict.fromkeys(WAYS, FINE)


def fine(*ways: str) -> dict[str, str]:
    return dict.fromkeys(ways, FINE)


@dataclass(frozen=True, eq=False)
class Row:
    """`command` has places like {host} in it; `proof` is what a client prints that got everything through.

    `cells` says for each way what has to come of it: FINE, or what the relay refuses it with on purpose, and
    `reason` why. A `hostile` client only has to leave the relay unharmed. A row without cells is there for
    its reason alone. `seconds`: the client goes on for so long; 0: it gets COUNT messages through at once.
    """

    client: str
    what: str
    command: tuple[str, ...]
    cells: Mapping[str, str]
    proof: str
    reason: str = ""
    kind: str = "as it is"
    hostile: bool = False
    heavy: bool = False
    seconds: int = 0
    patience: float = STARTING

    @property
    def count(self) -> int:
        return self.seconds or COUNT


class Case(NamedTuple):
    """One cell of a row."""

    row: Row
    name: str

    @property
    def wanted(self) -> str:
        return self.row.cells[self.name]

    def words(self, relay: Relay, peer: int) -> list[str]:
        """The command for this way to this relay; an echoing peer listens at the port `peer`."""
        transport, family = WAYS[self.name]
        host = HOSTS[family]
        places = {
            **PLACES[transport](relay, f"[{host}]" if ":" in host else host),
            **dict(zip(("name", "credential"), time_limited(), strict=True)),
            "host": host,
            "second": SECOND,
            "transport": transport,
            "TRANSPORT": transport.upper(),
            "peer": peer,
            "user": USER,
            "password": PASSWORD,
            "secret": SECRET,
            "trust": relay.trust,
            **({f"{name}_home": home for name, home in relay.homes._asdict().items()} if relay.homes else {}),
            "count": self.row.count,
            "pause": 1 if self.row.seconds else 0,
        }
        # Firefox speaks TLS with names only.
        named = f"turns:localhost:{relay.tls}?transport=tcp" if self.name == "TLS" else places["url"]
        words = [word.format(**places, page_url=named) for word in self.row.command]
        return [
            piece for word in words for piece in (FLAGS[transport, family] if word == "FLAGS" else (word,))
        ]


# The port and the address that WebRTC clients are given.
PLACES = {
    "udp": lambda relay, host: {"port": relay.port, "url": f"turn:{host}:{relay.port}?transport=udp"},
    "tcp": lambda relay, host: {"port": relay.port, "url": f"turn:{host}:{relay.port}?transport=tcp"},
    "tls": lambda relay, host: {"port": relay.tls, "url": f"turns:{host}:{relay.tls}?transport=tcp"},
}
# What turnutils_uclient calls the ways.
FLAGS = {
    (transport, family): words + (("-x",) if family == "IPv6" else ())
    for transport, words in {"udp": (), "tcp": ("-t",), "tls": ("-t", "-S")}.items()
    for family in HOSTS
}


def cases(rows: tuple[Row, ...]) -> Iterator[Case]:
    return (Case(row, name) for row in rows for name in row.cells)
