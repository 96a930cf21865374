"""The lobby: all visitors, the queue and the calls. A message and the time go in, effects come out."""

from __future__ import annotations

from collections.abc import Callable

from server.signalling.close_codes import BANNED, NORMAL, RESTART
from server.signalling.effects import Effect
from server.signalling.messages import Chunk, ClientMessage, Hello
from server.signalling.presence import Presence
from server.signalling.pseudonyms import IPAddress
from server.signalling.requests import handle
from server.signalling.restoring import restore
from server.signalling.returning import suspend, welcome, welcome_back
from server.signalling.visitors import Visitor


class Lobby(Presence):
    """Everybody who is connected. It has no socket and no clock.

    Public methods return the effects that the caller has to apply, in order. `now` is in seconds, of a clock
    that never goes back.
    """

    def knows(self, hello: Hello) -> bool:
        """Whether this is a visitor who comes back.

        Args:
            hello: the message. Its `resume` secret is only believed together with the same `token`.

        Returns:
            True if `join` will resume a visit.
        """
        return self.secrets.find(hello) is not None

    def join(
        self, hello: Hello, address: IPAddress | None, country: str | None, now: float
    ) -> tuple[Visitor, str, list[Effect]]:
        """A page said hello: it becomes a new visitor, or resumes its visit.

        Args:
            hello: the message. Its `resume` secret is only believed together with the same `token`.
            address: the IP address of the browser, or None if it is not known.
            country: two small letters (ISO 3166-1), or None if it is not known.
            now: monotonic seconds.

        Returns:
            The visitor, the reply to send first, and the effects.
        """
        visitor = self.secrets.find(hello)
        if visitor is not None:
            reply = welcome_back(self, visitor, hello, address, country, now)
        else:
            restored = restore(self, hello, address, country, now)
            visitor, reply = restored or welcome(self, hello, address, country)
        return visitor, reply, self.take_effects()

    def receive(self, visitor: Visitor, message: ClientMessage | Chunk, now: float) -> list[Effect]:
        """Handle one message of a visitor.

        Args:
            visitor: its sender.
            message: the parsed message, or a piece of a picture.
            now: monotonic seconds.

        Returns:
            The effects.

        Raises:
            MessageError: the message is not allowed now. Nothing has changed.
        """
        self.secrets.forget_former(visitor)
        handle(self, visitor, message, now)
        return self.take_effects()

    def cancel_picture(self, visitor: Visitor) -> list[Effect]:
        """Cancel the picture that a visitor is sending, because its chunks came too fast.

        Args:
            visitor: the sender of the picture.

        Returns:
            The effects.
        """
        if visitor.room is not None:
            self.effects += visitor.room.cancel_picture(visitor.id)
        return self.take_effects()

    def suspend(self, visitor: Visitor, now: float, *, loading: bool = False) -> list[Effect]:
        """The socket was lost without a close. The visitor keeps call and place for RESUME_SECONDS.

        Args:
            visitor: whose socket it was.
            now: monotonic seconds.
            loading: its page is being closed or loaded again. Then it has RELOAD_SECONDS, and has left after
                them.

        Returns:
            The effects.
        """
        suspend(self, visitor, now, loading=loading)
        return self.take_effects()

    def leave(self, visitor: Visitor, how: str, now: float) -> list[Effect]:
        """A visitor is gone for good.

        Args:
            visitor: the visitor. One that is gone already changes nothing.
            how: a key of ENDINGS: `left`, or `vanished` if the page did not end it.
            now: monotonic seconds.

        Returns:
            The effects.
        """
        self.remove(visitor, how, now)
        return self.take_effects()

    def tick(self, now: float) -> list[Effect]:
        """Do what is due: give up lost visitors, match pairs that may meet by now, tell others why they wait.

        Args:
            now: monotonic seconds.

        Returns:
            The effects.
        """
        for visitor in list(self.suspended.values()):
            if visitor.back_by <= now:
                self.kick(visitor, NORMAL, now, visitor.missing)
        self.effects += self.calls.retry(now)
        self.effects += self.calls.news.look(now)
        self.effects += self.calls.partings.expire(now)
        self.calls.invitations.expire(now)
        self.reports.expire(now)
        if self.calls.restored and self.dependencies.tickets and not self.dependencies.tickets.are_taken:
            self.calls.restored.clear()
        return self.take_effects()

    def kick_banned(self, is_banned: Callable[[IPAddress], bool], now: float) -> list[Effect]:
        """Remove the visitors whose address is banned.

        Args:
            is_banned: tells whether an address is banned.
            now: monotonic seconds.

        Returns:
            The effects.
        """
        for visitor in list(self.visitors.values()):
            if visitor.address is not None and is_banned(visitor.address):
                self.kick(visitor, BANNED, now, "banned")
        return self.take_effects()

    def replace_relay(self, host: str) -> list[Effect]:
        """A relay does not answer any more: calls that may use it are told of others.

        Args:
            host: its host in the configuration.

        Returns:
            The effects.
        """
        return self.calls.replace_relay(host)

    def drain(self, now: float) -> list[Effect]:
        """From now on match nobody. Calls go on; visitors without a call are sent away.

        Args:
            now: monotonic seconds.

        Returns:
            The effects.
        """
        self.draining = True
        for visitor in list(self.visitors.values()):
            if visitor.room is None:
                self.kick(visitor, RESTART, now)
        return self.take_effects()

    def close(self, now: float) -> list[Effect]:
        """End every call, because the time to drain is over.

        Args:
            now: monotonic seconds.

        Returns:
            The effects.
        """
        self.draining = True
        for room in list(self.calls.rooms.values()):
            self.end_call(room, "drained", self.visitors[room.participants[0].visitor], now)
        for visitor in list(self.visitors.values()):
            self.kick(visitor, RESTART, now)
        return self.take_effects()
