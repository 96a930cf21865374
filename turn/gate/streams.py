"""One stream of media in one direction: in test, tested, or blocked because it looked unencrypted."""

from __future__ import annotations

from typing import Final

from turn.gate.randomness import Randomness
from turn.wire.srtp import SAMPLE, between

BLOCKED: Final = 60.0  # seconds until a stream that looked unencrypted is tested again

ID, HASHED = 4, 0xFFFFFFFF  # bytes of a hash that we keep, and their bits
GROUP = 4  # packets of a stream in test that are added up together, which costs less; it divides SAMPLE
LOOKS = 2  # and of a tested one
LATEST = 8  # packets of a stream that we recognise if they come again, at least
NOTHING: set[int] = set()  # stays empty; a set takes memory, and most streams are tested
REPEATS = 3  # so many repeated packets per new one are not tested; with more, nothing would ever be tested


class Stream(Randomness):  # one object, because there are many
    """A stream passes while it is tested for the first time. After a block, it has to pass a test first.

    A tested stream is looked at now and then. If that makes it suspicious, it is tested once more, and passes
    meanwhile; so a false alarm does no harm. A repeated packet, as over bonded links, is no evidence. The
    whole packet must be equal: if the sequence number were enough, a sender that never changes it would never
    be tested.
    """

    __slots__ = (
        "_group",
        "_last",
        "_marks",
        "_older",
        "_repeats",
        "_tested",
        "_unseen",
        "blocked_until",
        "is_tested",
    )

    def __init__(self) -> None:
        super().__init__()
        self.is_tested = False
        self.blocked_until = 0.0  # 0: it has not looked unencrypted since it was tested
        self._group: list[bytes] = []  # what is encrypted of the packets that are not added up yet
        self._marks: set[int] = set()  # hashes of the latest packets in test
        self._older = NOTHING  # and of those before
        self._last = 0  # hash of the packet that was looked at before
        self._tested = self._repeats = 0
        self._unseen = 0  # packets that pass before the next one is looked at, where no engine carries them

    def is_over(self, now: float) -> bool:
        """Whether it can be forgotten: a test that is not through, or a block that ended long ago."""
        return not (self.is_tested or (self.blocked_until and now < self.blocked_until + BLOCKED))

    def passes_unseen(self) -> bool:
        """Whether the next packet passes without being looked at, as most of a tested stream do."""
        if self._unseen > 0:
            self._unseen -= 1
            return True
        return False

    def judge(self, packet: bytes, sealed: bytes, now: float) -> bool:
        """Whether the next packet passes. `sealed` is what is encrypted of it."""
        if self.is_tested:
            if not self.passes_unseen():
                self._unseen = between(packet)
                self.inspect(packet, sealed)
            return True
        if now < self.blocked_until:
            return False
        mark = hash(packet)
        if (mark in self._marks or mark in self._older) and self._may_repeat():
            return not self.blocked_until
        self._marks.add(mark)
        self._group.append(sealed)
        if len(self._group) == GROUP:
            self._test(packet, now)
        return self.is_tested or not self.blocked_until

    def inspect(self, packet: bytes, sealed: bytes) -> None:
        """Look at a packet of a tested stream; more than the last one is not worth remembering here."""
        mark = hash(packet)
        if mark != self._last:
            self._last = mark
            self._group.append(sealed)
            if len(self._group) < LOOKS:
                return
            self.add(self._group)
            self._group.clear()
            if self.is_suspicious():
                self._begin(is_tested=False)
                self._marks = {mark}  # if it comes again at once, that is no evidence either

    def _may_repeat(self) -> bool:
        """Whether one more repeated packet is no evidence."""
        if self._repeats >= REPEATS * (self._tested + len(self._group) + 1):
            return False
        self._repeats += 1
        return True

    def _test(self, packet: bytes, now: float) -> None:
        """Add a group of packets, of which this is the last."""
        self._tested += len(self._group)
        self.add(self._group)
        self._group.clear()
        if len(self._marks) >= LATEST:
            self._older, self._marks = self._marks, set()
        if self.is_plain():
            self.blocked_until = now + BLOCKED
            self._begin(is_tested=False)
        elif self._tested >= SAMPLE:
            self.blocked_until = 0.0
            self._begin(is_tested=True)
            self._last = hash(packet)

    def _begin(self, *, is_tested: bool) -> None:
        self.is_tested = is_tested
        self.forget()
        self._group.clear()
        self._marks, self._older = NOTHING if is_tested else set(), NOTHING
        self._tested = self._repeats = self._unseen = 0


def short(data: bytes) -> bytes:
    """A hash with a key of this process."""
    return (hash(data) & HASHED).to_bytes(ID, "big")
