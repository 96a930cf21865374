"""Every reason for which the relay refuses a request, each with the STUN error code of its answer."""

from __future__ import annotations

from typing import ClassVar

from turn.flows import Address


class RelayError(Exception):
    """A request that is refused. `code` is the STUN error code of the answer (RFC 8489 §14.8)."""

    code: ClassVar[int]


class TryAlternate(RelayError):
    """This relay takes no new clients; `server` may take them (RFC 8489 §10)."""

    code = 300

    def __init__(self, server: Address) -> None:
        super().__init__(server)
        self.server = server


class BadRequest(RelayError):
    """The request is malformed (RFC 8489 §14.8)."""

    code = 400


class Unauthenticated(RelayError):
    """There are no credentials, or they are wrong (RFC 8489 §9.2.4)."""

    code = 401


class Forbidden(RelayError):
    """This relay does not send to that peer address (RFC 8656 §9.2), or not for this client."""

    code = 403


class MobilityForbidden(RelayError):
    """This relay does not let an allocation move to another client address (RFC 8016 §3.1)."""

    code = 405


class UnknownAttribute(RelayError):
    """The request has a comprehension-required attribute that we do not know (RFC 8489 §6.3.1)."""

    code = 420

    def __init__(self, types: tuple[int, ...]) -> None:
        super().__init__(types)
        self.types = types


class AllocationMismatch(RelayError):
    """The client needs an allocation and has none, or has one already (RFC 8656 §7.2, §8.2)."""

    code = 437


class StaleNonce(RelayError):
    """The nonce is too old, or we did not make it for this client (RFC 8489 §9.2.4)."""

    code = 438


class FamilyNotSupported(RelayError):
    """This relay does not offer that address family (RFC 8656 §7.2)."""

    code = 440


class WrongCredentials(RelayError):
    """The allocation belongs to another user (RFC 8656 §5)."""

    code = 441


class TransportNotSupported(RelayError):
    """Only UDP is relayed (RFC 8656 §7.2)."""

    code = 442


class FamilyMismatch(RelayError):
    """The peer's address family is not the allocation's (RFC 8656 §9.2)."""

    code = 443


class QuotaReached(RelayError):
    """The user or the client's address has as many allocations as it may have (RFC 8656 §7.2)."""

    code = 486


class InsufficientCapacity(RelayError):
    """No port is free, a limit of this relay is reached, or the token is unknown (RFC 8656 §7.2)."""

    code = 508
