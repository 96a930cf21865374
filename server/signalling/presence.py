"""Who is here, and what follows from each end: of a call, and of a visit."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.signalling.calls import Calls
from server.signalling.close_codes import RESTART
from server.signalling.effects import CloseSocket, Effect, SendTo
from server.signalling.matching import Queue
from server.signalling.reports import Reports
from server.signalling.resume_secrets import ResumeSecrets
from server.signalling.rooms import Room
from server.signalling.server_messages import encode
from server.signalling.visitors import Dependencies, Visitor


@dataclass(eq=False)
class Presence:
    """Everybody who is connected, and the effects that wait to be taken.

    Args:
        dependencies: what the lobby needs from outside: names, ICE servers and whether countries are known.
        queue: the visitors that wait for a partner.
        reports: what visitors have reported.
    """

    dependencies: Dependencies
    queue: Queue
    reports: Reports
    visitors: dict[str, Visitor] = field(default_factory=dict)
    suspended: dict[str, Visitor] = field(default_factory=dict)  # whose socket is lost
    draining: bool = False
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.calls = Calls(self.dependencies, self.queue, self.visitors)
        self.secrets = ResumeSecrets(self.dependencies.new_id)

    def take_effects(self) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects

    def notify_partner(self, room: Room, visitor: Visitor, state: str) -> None:
        word = encode("partner", call=room.call, state=state)
        self.effects.append(SendTo(room.partner_of(visitor.id), word))

    def enqueue(
        self, visitor: Visitor, now: float, *, ticket: int | None = None, id: str | None = None
    ) -> None:
        if self.draining:
            self.kick(visitor, RESTART, now)
            return
        self.effects += self.calls.wait(visitor, now, ticket=ticket, id=id)

    def end_call(self, room: Room, how: str, ender: Visitor, now: float) -> None:
        """End a call and tell the partner why. If `ender` vanished, the partner waits at its old place."""
        partner = self.visitors[room.partner_of(ender.id)]
        self.effects += self.calls.end(room, how, ender, now)
        self.calls.leave_link(ender, now)
        if how != "vanished":
            self.calls.leave_link(partner, now)
        if self.draining:
            self.kick(partner, RESTART, now)
        elif how == "vanished":
            self.enqueue(partner, now, ticket=partner.last_ticket)

    def remove(self, visitor: Visitor, how: str, now: float) -> None:
        """A visitor is gone for good; `how` is a key of ENDINGS. One that is gone already changes nothing."""
        if self.visitors.get(visitor.id) is not visitor:
            return
        if visitor.room is not None:
            self.end_call(visitor.room, how, visitor, now)
        self.calls.stop_waiting(visitor, now)
        if how != "vanished":
            self.effects += self.calls.partings.part_for_good(visitor)
        self.visitors.pop(visitor.id, None)
        self.suspended.pop(visitor.id, None)
        self.secrets.remove(visitor)
        self.queue.blocks.depart(*visitor.names)

    def kick(self, visitor: Visitor, code: int, now: float, how: str = "vanished") -> None:
        """Remove a visitor and close its socket."""
        self.remove(visitor, how, now)
        self.effects.append(CloseSocket(visitor.id, code))
