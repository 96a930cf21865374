"""The secrets with which pages come back to their visits on a new socket."""

from __future__ import annotations

from collections.abc import Callable

from server.signalling.messages import Hello
from server.signalling.visitors import Visitor


class ResumeSecrets:
    """Who comes back with which secret. `new_id` makes a new one."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self.new_id = new_id
        self.visitors: dict[str, Visitor] = {}

    def find(self, hello: Hello) -> Visitor | None:
        """Who comes back. A secret is only believed together with the same token."""
        known = self.visitors.get(hello.resume or "")
        return known if known is not None and known.token == hello.token else None

    def add(self, visitor: Visitor) -> None:
        self.visitors[visitor.resume_secret] = visitor

    def renew(self, visitor: Visitor, used: str) -> None:
        """Give a visitor a new secret. The used one stays good until the page speaks again: the reply with
        the new one may get lost."""
        for secret in {visitor.resume_secret, visitor.former_secret} - {used, None}:
            del self.visitors[str(secret)]
        visitor.former_secret, visitor.resume_secret = used, self.new_id()
        self.add(visitor)

    def replace(self, visitor: Visitor) -> None:
        """Give a visitor a new secret; those before are over."""
        self.remove(visitor)
        visitor.resume_secret = self.new_id()
        self.add(visitor)

    def forget_former(self, visitor: Visitor) -> None:
        """The page has spoken, so it knows the new secret."""
        if visitor.former_secret is not None:
            del self.visitors[visitor.former_secret]
            visitor.former_secret = None

    def remove(self, visitor: Visitor) -> None:
        """A visitor is gone for good."""
        self.forget_former(visitor)
        del self.visitors[visitor.resume_secret]
