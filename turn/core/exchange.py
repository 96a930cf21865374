"""One request on its way through the relay: what it says, which user sent it, and how to answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from turn.core.allocations import Allocation
from turn.core.effects import Send
from turn.core.state import RelayState
from turn.errors import AllocationMismatch, RelayError, TryAlternate, UnknownAttribute, WrongCredentials
from turn.flows import Address, Packet
from turn.wire.attributes import ALTERNATE_SERVER, ERROR_CODE, UNKNOWN_ATTRIBUTES, Attribute
from turn.wire.integrity import NAMES_NONE
from turn.wire.stun import ERROR, MAX_UNKNOWN, SUCCESS, StunMessage, build


class Credentials(NamedTuple):
    """The user that signed a request, and the key that signs the answer.

    The answer is signed with SHA-256 if the client named a password algorithm (RFC 8489 §9.2.4).
    """

    username: str
    user: str
    key: bytes
    algorithm: bytes = NAMES_NONE


@dataclass(slots=True)
class Exchange:
    """A request and what is known about it.

    `credentials` is None until the request is authenticated. `has_valid_nonce`: the sender has lately read a
    reply of ours at its address.
    """

    state: RelayState
    packet: Packet
    message: StunMessage
    now: float
    wall: float
    allocation: Allocation | None
    credentials: Credentials | None = None
    has_valid_nonce: bool = False

    @property
    def client(self) -> Address:
        return self.packet.remote

    @property
    def five_tuple(self) -> tuple[Address, Address]:
        """Client and listener; each address includes the transport."""
        return self.packet.remote, self.packet.local

    @property
    def signer(self) -> Credentials:
        """The credentials of an authenticated request."""
        if self.credentials is None:
            raise LookupError("asked before authentication")
        return self.credentials

    def own_allocation(self) -> Allocation:
        """The allocation of this five-tuple (RFC 8656 §5).

        Raises AllocationMismatch if there is none, and WrongCredentials if it belongs to another user.
        """
        if self.allocation is None:
            raise AllocationMismatch
        if self.allocation.username != self.signer.username:
            raise WrongCredentials
        return self.allocation

    def success_response(self, *attributes: tuple[Attribute[Any], Any]) -> Send:
        self.state.counts["replies.success"] += 1
        return self._answer(SUCCESS, [*attributes])

    def error_response(self, error: RelayError) -> Send:
        self.state.counts[f"refusals.{error.code}"] += 1
        attributes: list[tuple[Attribute[Any], Any]] = [(ERROR_CODE, error.code)]
        if isinstance(error, UnknownAttribute):
            attributes.append((UNKNOWN_ATTRIBUTES, error.types[:MAX_UNKNOWN]))
        if isinstance(error, TryAlternate):
            attributes.append((ALTERNATE_SERVER, error.server))
        return self._answer(ERROR, attributes)

    def challenge(self, error: RelayError) -> Send:
        """Error 401 or 438 with what the next request needs (RFC 8489 §9.2.4); it is never signed."""
        state, message = self.state, self.message
        state.counts[f"refusals.{error.code}"] += 1
        nonce = state.nonces.make(self.client, self.now)
        data = state.challenge.build(
            message.type, message.transaction, error.code, nonce, fingerprint=message.fingerprint
        )
        return self.reply(data)

    def _answer(self, kind: int, attributes: list[tuple[Attribute[Any], Any]]) -> Send:
        message = self.message
        key = self.credentials.key if self.credentials else None
        data = build(
            message.type | kind,
            message.transaction,
            attributes,
            key,
            fingerprint=message.fingerprint,
            sha256=self.credentials is not None and self.credentials.algorithm != NAMES_NONE,
        )
        return self.reply(data)

    def reply(self, data: bytes) -> Send:
        return Send(Packet(self.packet.local, self.client, data))
