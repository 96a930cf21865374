"""Every refusal of the relay: one root, each class with the STUN error code that answers it."""

from __future__ import annotations

from typing import ClassVar

from turn.flows import Address


class RelayError(Exception):
    """A request that cannot be granted; `code` is the STUN error code of the answer (RFC 8489 §14.8)."""

    code: ClassVar[int]


class TryAlternate(RelayError):
    """This relay takes nobody new; another one may (RFC 8489 §10)."""

    code = 300

    def __init__(self, server: Address) -> None:
        super().__init__(server)
        self.server = server


class BadRequest(RelayError):
    """Malformed beyond the point where the method's own rules apply."""

    code = 400


class Unauthenticated(RelayError):
    """No credentials, or credentials that do not fit (RFC 8489 §9.2.4)."""

    code = 401


class Forbidden(RelayError):
    """The peer address is one that this relay never sends to (RFC 8656 §9.2)."""

    code = 403


class MobilityForbidden(RelayError):
    """Allocations do not move between clients' addresses here (RFC 8016 §3.1)."""

    code = 405


class UnknownAttribute(RelayError):
    """A comprehension-required attribute that we do not know (RFC 8489 §6.3.1)."""

    code = 420

    def __init__(self, types: tuple[int, ...]) -> None:
        super().__init__(types)
        self.types = types


class AllocationMismatch(RelayError):
    """No allocation where one is needed, or one where none may be (RFC 8656 §7.2, §8.2)."""

    code = 437


class StaleNonce(RelayError):
    """The nonce is not ours, not this client's or too old (RFC 8489 §9.2.4)."""

    code = 438


class FamilyNotSupported(RelayError):
    """An address family that this relay does not offer (RFC 8656 §7.2)."""

    code = 440


class WrongCredentials(RelayError):
    """Another user's allocation (RFC 8656 §5)."""

    code = 441


class TransportNotSupported(RelayError):
    """Only UDP is relayed (RFC 8656 §7.2)."""

    code = 442


class FamilyMismatch(RelayError):
    """The peer's address family is not the allocation's (RFC 8656 §9.2)."""

    code = 443


class QuotaReached(RelayError):
    """The user, or the address the user comes from, has all the allocations it may have (RFC 8656 §7.2)."""

    code = 486


class InsufficientCapacity(RelayError):
    """No port, no room in a table, or a token that we do not know (RFC 8656 §7.2)."""

    code = 508
