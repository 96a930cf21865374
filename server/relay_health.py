"""Which relays live, by what came of each question to them. No clock and no socket is here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MISSES = 2  # questions in a row without an answer: one packet may get lost, and a restart takes a second
BACK_SECONDS = 60.0  # of answers until a dead relay gets calls again: one that dies now and then gets none


@dataclass(slots=True)
class Pulse:
    """What is known of one relay. It lives until it has missed; one that starts after us, once it answers."""

    lives: bool = True
    heard: bool = False  # ever
    misses: int = 0
    since: float | None = None  # when it began to answer without a miss

    def note_answer(self, now: float) -> None:
        self.misses = 0
        if self.since is None:
            self.since = now
        self.lives = self.lives or not self.heard or now - self.since >= BACK_SECONDS
        self.heard = True

    def note_miss(self) -> None:
        self.misses += 1
        self.since = None
        self.lives = self.lives and self.misses < MISSES


class RelayHealth:
    """All relays, by host. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self.pulses: dict[str, Pulse] = {}

    def follow(self, hosts: Iterable[str]) -> None:
        """These are the relays from now on; what is known of them stays."""
        self.pulses = {host: self.pulses.get(host, Pulse()) for host in hosts}

    def lives(self, host: str) -> bool:
        """Whether pages should be told of it; also one that was never asked."""
        pulse = self.pulses.get(host)
        return pulse is None or pulse.lives

    def answers(self, host: str) -> bool:
        """Whether it has answered the last question; then it may still have to do so for a minute."""
        pulse = self.pulses.get(host)
        return pulse is None or not pulse.misses

    def learn(self, host: str, answered: bool, now: float) -> bool:
        """What came of one question. Returns whether it has died, or come back, by that."""
        pulse = self.pulses.get(host)
        if pulse is None:  # a reload has removed it meanwhile
            return False
        before = pulse.lives
        if answered:
            pulse.note_answer(now)
        else:
            pulse.note_miss()
        return pulse.lives is not before
