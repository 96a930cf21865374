"""Which user sent a request: the long-term credential mechanism (RFC 8489 §9.2.4), a function per step."""

from __future__ import annotations

from turn.core.exchange import Credentials, Exchange
from turn.core.state import RelayState
from turn.errors import BadRequest, StaleNonce, Unauthenticated
from turn.wire.attributes import NONCE, PASSWORD_ALGORITHM, PASSWORD_ALGORITHMS, REALM, USERHASH, USERNAME
from turn.wire.integrity import ALGORITHMS, NAMES_NONE, OFFERED, long_term_keys
from turn.wire.stun import StunMessage

MAX_USERNAME_BYTES = 508  # RFC 8489 §14.3
UNKNOWN_USER = "\0"  # no configuration can contain this name


def authenticate(exchange: Exchange) -> Credentials:
    """The credentials that signed a request. Raises Unauthenticated, BadRequest or StaleNonce.

    The nonce is checked before the signature, not after it as in the RFC: a sender that cannot read our
    replies at its address then costs us no computation of a key, and learns nothing about a password.
    """
    state, message = exchange.state, exchange.message
    check_parts(message, sha256=state.settings.sha256)
    algorithm = read_algorithm(message) if state.settings.sha256 else NAMES_NONE
    username = read_username(state, message)
    check_realm(state, message)
    if not exchange.has_valid_nonce:
        raise StaleNonce
    return check_signature(exchange, username, algorithm)


def check_parts(message: StunMessage, *, sha256: bool) -> None:
    if not (message.integrity or (sha256 and message.sha256)):
        raise Unauthenticated
    named = message.has(USERNAME) or (sha256 and message.has(USERHASH))
    if not (named and message.has(REALM) and message.has(NONCE)):
        raise BadRequest("a part is missing")


def read_algorithm(message: StunMessage) -> bytes:
    """How the client hashed its password (RFC 8489 §9.2.4, §9.2.5).

    The client repeats what we offered. If that differs from our offer, somebody on the path has changed it.
    A client that names an algorithm signs with SHA-256.
    """
    named, offered = message.raw(PASSWORD_ALGORITHM), message.raw(PASSWORD_ALGORITHMS)
    if named is None and offered is None:
        return NAMES_NONE
    if named not in ALGORITHMS or offered != OFFERED or not message.sha256:
        raise BadRequest("algorithm")
    return named


def read_username(state: RelayState, message: StunMessage) -> str:
    raw = message.raw(USERNAME)
    if raw is None:
        return state.hashed.get(message.raw(USERHASH) or b"", UNKNOWN_USER)
    if not 1 <= len(raw) <= MAX_USERNAME_BYTES:
        raise BadRequest("length of the username")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Unauthenticated from None


def check_realm(state: RelayState, message: StunMessage) -> None:
    if message.raw(REALM) not in state.realms:
        raise Unauthenticated


def check_signature(exchange: Exchange, username: str, algorithm: bytes) -> Credentials:
    """Find the credentials whose key made the MESSAGE-INTEGRITY. Raises Unauthenticated.

    An allocation goes on with the key that it was made with. So the expiry of credentials is checked only
    when an allocation is made, unless `strict_expiry` is set.
    """
    allocation = exchange.allocation
    if allocation is not None and (allocation.username, allocation.algorithm) == (username, algorithm):
        credentials = Credentials(username, allocation.user, allocation.key, algorithm)
        if is_signed_with(exchange, credentials.key) and is_still_valid(exchange, username):
            return credentials
        raise Unauthenticated
    return check_new_signature(exchange, username, algorithm)


def is_still_valid(exchange: Exchange, username: str) -> bool:
    settings = exchange.state.settings
    return not settings.strict_expiry or settings.users.login(username, exchange.wall) is not None


def check_new_signature(exchange: Exchange, username: str, algorithm: bytes) -> Credentials:
    lockout, ip, now = exchange.state.lockout, exchange.client.ip, exchange.now
    guessed = exchange.state.settings.users.guessed_name(username)
    if guessed is not None and lockout.is_locked(ip, guessed, now):
        exchange.state.counts["locked out"] += 1
        raise Unauthenticated
    for credentials in possible_credentials(exchange, username, algorithm):
        if is_signed_with(exchange, credentials.key):
            if guessed is not None:
                lockout.note_right(ip, guessed)
            return credentials
    if guessed is not None:
        lockout.note_wrong(ip, guessed, now)
    raise Unauthenticated


def is_signed_with(exchange: Exchange, key: bytes) -> bool:
    """Whether this key made the stronger one of the signatures that are there and that we offer."""
    message = exchange.message
    if message.sha256 and exchange.state.settings.sha256:
        return message.verify_sha256(key)
    return message.verify(key)


def possible_credentials(exchange: Exchange, username: str, algorithm: bytes) -> list[Credentials]:
    """The credentials that a name may have now.

    For an unknown name it is a key that nobody has, so that the answer takes as long as for a known one.
    """
    settings = exchange.state.settings
    login = settings.users.login(username, exchange.wall)
    if login is None:
        return [Credentials(username, username, settings.nonce_key, algorithm)]
    return [
        Credentials(username, login.user, key, algorithm)
        for password in login.passwords
        for key in long_term_keys(username, settings.realm, password, algorithm)
    ]


def has_valid_nonce(exchange: Exchange) -> bool:
    """Whether the sender's nonce shows that it has lately read a reply of ours at its address."""
    nonce = exchange.message.raw(NONCE)
    return nonce is not None and exchange.state.nonces.accepts(nonce, exchange.client, exchange.now)
