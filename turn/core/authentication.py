"""Who sent this request: the long-term credential mechanism (RFC 8489 §9.2.4), a function per step."""

from __future__ import annotations

from turn.core.exchange import Exchange, Proof
from turn.core.state import State
from turn.errors import BadRequest, StaleNonce, Unauthenticated
from turn.wire.attributes import NONCE, REALM, USERNAME
from turn.wire.integrity import long_term_key
from turn.wire.stun import Message

MAX_USERNAME_BYTES = 508  # RFC 8489 §14.3


def authenticate(exchange: Exchange) -> Proof:
    """Raises Unauthenticated, BadRequest or StaleNonce. Nothing of a request that fails is kept."""
    message = exchange.message
    check_parts(message)
    username = read_username(message)
    check_realm(exchange.state, message)
    proof = prove(exchange, username)
    if not exchange.holds_nonce:
        raise StaleNonce
    return proof


def check_parts(message: Message) -> None:
    if not message.integrity:
        raise Unauthenticated
    if not (message.has(USERNAME) and message.has(REALM) and message.has(NONCE)):
        raise BadRequest("a part is missing")


def read_username(message: Message) -> str:
    raw = message.raw(USERNAME) or b""
    if not 1 <= len(raw) <= MAX_USERNAME_BYTES:
        raise BadRequest("length of the username")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Unauthenticated from None


def check_realm(state: State, message: Message) -> None:
    if message.raw(REALM) != state.settings.realm.encode():
        raise Unauthenticated


def prove(exchange: Exchange, username: str) -> Proof:
    """Whose key made the MESSAGE-INTEGRITY. An allocation goes on with the key that it was made with, so that
    credentials are asked for their time only when one is made."""
    allocation = exchange.allocation
    if allocation is not None and allocation.username == username:
        candidates = [Proof(username, allocation.user, allocation.key)]
    else:
        candidates = look_up(exchange, username)
    for proof in candidates:
        if exchange.message.proves(proof.key):
            return proof
    raise Unauthenticated


def look_up(exchange: Exchange, username: str) -> list[Proof]:
    """Every key that would prove the name now; for an unknown one a key that nobody has, so that an answer
    takes as long as for a known one."""
    settings = exchange.state.settings
    login = settings.keys.login(username, exchange.wall)
    if login is None:
        return [Proof(username, username, settings.nonce_key)]
    return [
        Proof(username, login.user, long_term_key(username, settings.realm, password))
        for password in login.passwords
    ]


def holds_nonce(exchange: Exchange) -> bool:
    """Whether the sender has read a reply of ours at its address lately."""
    nonce = exchange.message.raw(NONCE)
    return nonce is not None and exchange.state.nonces.accepts(nonce, exchange.client, exchange.now)
