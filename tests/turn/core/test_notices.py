"""What a relay believes of what servers tell: who may tell it, what follows, and that it is told once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.turn.call import UFRAGS, VOICE, rtp
from tests.turn.core.relayed import Relayed
from tests.turn.network import (
    LISTENER,
    LISTENER6,
    TYPES,
    Client,
    Network,
    compose,
    network,
    settings,
    unlimited,
)
from tests.turn.servers import SECRET, TellingServer, ban
from turn.core.notices import Known
from turn.core.told import HEARD_SECONDS, MAX_SECONDS
from turn.credentials import mint, server_key
from turn.flows import Address, Packet, Transport
from turn.policies import Accounts, Limits
from turn.wire.attributes import ERROR_CODE, NONCE
from turn.wire.notices import (
    LONGEST,
    NOTICES,
    NOTIFY_REQUEST,
    NetworkBanned,
    Notice,
    Notification,
    PairVouched,
    UserEnded,
)
from turn.wire.srtp import SAMPLE

HERE, THERE, OFFICE = "8.8.8.8", "9.9.9.1", "198.51.99.7"
OTHER_SECRET = b"another secret, quite long"
VOUCHED = PairVouched(100, ("one", "other"), UFRAGS)
BAN = ban(f"{HERE}/32")
LIFTED = BAN._replace(seconds=0)
PORTS = count(40000)


def relaying(**changes: object) -> Network:
    given = {
        "encrypted_only": "enforce",
        "users": Accounts({}, (SECRET,)),
        "server_keys": (server_key(SECRET),),
        **changes,
    }
    return network(unlimited(**given))


def visitor(net: Network, user: str = "one", address: str = HERE, listener: Address = LISTENER) -> Client:
    """Each has a port of its own."""
    username, password = mint(SECRET, user, int(net.wall) + 600)
    return Client(net, address, next(PORTS), user=username, password=password, listener=listener)


def late_call(net: Network, user: str = "one") -> Relayed:
    call = Relayed(net, visitor(net, user))
    call.consent()
    return call


def counts(net: Network) -> dict[str, int]:
    return dict(net.relay.told_counts(net.now))


def test_a_call_that_a_server_vouches_for_may_come_in_its_middle() -> None:
    net = relaying()
    call, stranger = late_call(net), late_call(net, "stranger")
    assert not call.say(rtp(VOICE, 1)).passes
    assert TellingServer(net).tell(VOUCHED) == 0
    assert [verdict.passes for verdict in call.talk(SAMPLE)] == [True] * SAMPLE
    assert call.media() == [frozenset({VOICE})]
    assert not stranger.say(rtp(VOICE, 1)).passes
    assert counts(net) == {"servers": 1, "vouched": 2, "ended": 0, "bans": 0}


@pytest.mark.parametrize("user", ["c.visitor", "r.visitor", "visitor"])
def test_a_name_alone_vouches_for_nothing(user: str) -> None:
    assert not late_call(relaying(), user).say(rtp(VOICE, 1)).passes


def test_what_no_server_says_again_runs_out() -> None:
    net = relaying()
    call, server = late_call(net), TellingServer(net)
    server.tell(VOUCHED._replace(seconds=20))
    call.talk(SAMPLE)
    assert call.media() == [frozenset({VOICE})]
    net.pass_time(20.0)
    assert (call.media(), counts(net)["vouched"]) == ([], 0)
    assert server.tell(VOUCHED) == 0
    assert call.media() == [frozenset({VOICE})]


def test_nothing_is_believed_for_longer_than_it_may_hold() -> None:
    net, ages = relaying(), 1 << 31
    told: list[Notice] = [
        VOUCHED._replace(seconds=ages),
        UserEnded(ages, "third"),
        BAN._replace(seconds=ages),
    ]
    TellingServer(net).tell(*told)
    for kind, name in ((PairVouched, "vouched"), (NetworkBanned, "bans"), (UserEnded, "ended")):
        net.pass_time(MAX_SECONDS[kind] - net.now - 1)
        assert counts(net)[name]
        net.pass_time(1.0)
        assert not counts(net)[name]


def test_what_a_user_has_ends_with_it_and_it_gets_nothing_more() -> None:
    net = relaying()
    call, other = late_call(net), visitor(net, "other", THERE)
    other.allocate()
    server = TellingServer(net)
    server.tell(VOUCHED)
    call.talk(SAMPLE)
    assert server.tell(UserEnded(600, "one")) == 0
    assert (net.open, net.links) == ({other.relay}, {})
    assert visitor(net).code(TYPES["allocate"], (0x0019, 17)) == 403
    assert visitor(net, "third").code(TYPES["allocate"], (0x0019, 17)) == 0
    assert counts(net)["vouched"] == 1
    server.tell(VOUCHED)
    assert counts(net) == {"servers": 1, "vouched": 1, "ended": 1, "bans": 0}
    net.pass_time(600.0)
    assert visitor(net).code(TYPES["allocate"], (0x0019, 17)) == 0


def test_a_ban_ends_what_its_clients_have_and_refuses_them() -> None:
    net = relaying()
    banned, other = (
        [visitor(net, "one", HERE), visitor(net, "two", HERE)],
        visitor(net, "other", THERE),
    )
    for client in (*banned, other):
        client.allocate()
    server = TellingServer(net)
    assert server.tell(BAN) == 0
    assert net.open == {other.relay}
    assert visitor(net, "new").code(TYPES["allocate"], (0x0019, 17)) == 403
    assert other.refresh(600) == 0
    assert server.tell(LIFTED) == 0
    visitor(net, "new").allocate()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_ban_holds_on_every_transport(transport: Transport) -> None:
    listener = LISTENER._replace(transport=transport)
    net = relaying(listeners=frozenset((LISTENER, LISTENER6, listener)))
    running = visitor(net, listener=listener)
    running.allocate()
    TellingServer(net).tell(BAN)
    assert not net.open
    assert visitor(net, "new", listener=listener).code(TYPES["allocate"], (0x0019, 17)) == 403


def test_a_ban_of_a_network_reaches_ipv6() -> None:
    net = relaying()
    inside = visitor(net, "one", "2606:4700:0:1::1", listener=LISTENER6)
    outside = visitor(net, "two", "2606:4700:1::1", listener=LISTENER6)
    inside.allocate()
    outside.allocate()
    TellingServer(net).tell(ban("2606:4700::/48"))
    assert net.open == {outside.relay}


def test_a_notification_that_comes_again_is_acknowledged_and_changes_nothing() -> None:
    net = relaying()
    server = TellingServer(net)
    server.tell(BAN, number=5)
    server.tell(LIFTED, number=6)
    for number in (5, 6, 0):
        assert server.tell(BAN, number=number) == 0
    assert counts(net)["bans"] == 0
    assert server.tell(BAN, number=7) == 0
    assert counts(net)["bans"] == 1
    assert net.relay.counts["notifications"] == 3


def test_a_recorded_notification_is_of_no_use_elsewhere_or_later() -> None:
    net = relaying()
    server = TellingServer(net)
    server.tell(BAN)
    recorded = server.request(BAN)
    elsewhere = TellingServer(net, address="198.51.99.2")
    assert parse_code(elsewhere.raw(recorded), elsewhere) == 438
    net.pass_time(601.0)
    assert parse_code(server.raw(recorded), server) == 438
    assert counts(net)["bans"] == 0


def parse_code(packets: list[Packet], server: TellingServer) -> int:
    answer = server.answer(packets)
    assert answer is not None
    return answer.get(ERROR_CODE) or 0


@pytest.mark.parametrize("keys", [(OTHER_SECRET,), ()], ids=["another secret", "none"])
def test_without_the_secret_nobody_is_believed(keys: tuple[bytes, ...]) -> None:
    net = relaying(server_keys=tuple(map(server_key, keys)))
    assert TellingServer(net).tell(BAN) == 401
    assert counts(net) == {"servers": 0, "vouched": 0, "ended": 0, "bans": 0}


def test_while_a_secret_changes_both_are_believed_and_then_one() -> None:
    net = relaying(server_keys=(server_key(OTHER_SECRET), server_key(SECRET)))
    old, new = TellingServer(net), TellingServer(net, secret=OTHER_SECRET, name=b"server 2")
    assert (old.tell(BAN), new.tell(BAN)) == (0, 0)
    later = unlimited(encrypted_only="enforce", server_keys=(server_key(OTHER_SECRET),))
    net.run(net.relay.reload(later, net.now))
    assert (old.tell(BAN), new.tell(BAN)) == (401, 0)


def test_a_ban_holds_while_a_secret_changes() -> None:
    """It is told again under the new one, a little later."""
    net = relaying()
    TellingServer(net).tell(BAN)
    accounts = Accounts({}, (SECRET, OTHER_SECRET))
    later = unlimited(encrypted_only="enforce", users=accounts, server_keys=(server_key(OTHER_SECRET),))
    net.run(net.relay.reload(later, net.now))
    assert visitor(net).code(TYPES["allocate"], (0x0019, 17)) == 403
    TellingServer(net, secret=OTHER_SECRET, name=b"server 2").tell(ban(f"{HERE}/32", 600, OTHER_SECRET))
    net.pass_time(599.0)
    assert visitor(net).code(TYPES["allocate"], (0x0019, 17)) == 403
    net.pass_time(2.0)
    assert visitor(net).code(TYPES["allocate"], (0x0019, 17)) == 0


def test_the_key_makes_no_credentials_and_those_no_key() -> None:
    net = relaying()
    server = TellingServer(net)
    for key in (SECRET, mint(SECRET, "one", int(net.wall) + 600).password.encode()):
        server.key = key
        assert server.tell(BAN) == 401


@pytest.mark.parametrize(
    "spoil",
    [
        lambda server: server.request(BAN, key=None),
        lambda server: server.request(BAN, sha256=False),
        lambda server: compose(NOTIFY_REQUEST, [(NONCE, b"n" * 16)], key=server.key, sha256=True),
        lambda server: server.request(BAN, more=[(0x8022, bytes(LONGEST))]),
    ],
    ids=["unsigned", "signed with SHA-1", "without notices", "too long"],
)
def test_what_lacks_a_part_is_not_answered(spoil: Callable[[TellingServer], bytes]) -> None:
    net = relaying()
    server = TellingServer(net)
    assert server.raw(spoil(server)) == []
    assert net.relay.counts["drops.probe"] == 1


def test_a_signed_mistake_is_told() -> None:
    net = relaying()
    server = TellingServer(net)
    assert server.tell(more=[(0x7FFF, b"")]) == 420
    malformed: list[tuple[Any, bytes]] = [(NONCE, server.nonce), (NOTICES.type, b"\1")]
    request = compose(NOTIFY_REQUEST, malformed, key=server.key, sha256=True)
    assert parse_code(server.raw(request), server) == 400
    assert counts(net)["servers"] == 0


def test_forged_ones_are_answered_as_other_strangers_are() -> None:
    net = network(settings(server_keys=(server_key(SECRET),), limits=Limits(unauthenticated_per_second=1)))
    server = TellingServer(net)
    answers = [server.raw(server.request(BAN)) for _ in range(20)]
    assert 0 < sum(map(bool, answers)) < 10
    assert net.relay.counts["drops.strangers"] == 20 - sum(map(bool, answers))
    server.key = server_key(OTHER_SECRET)
    server.nonce = server.nonce or nonce_of(answers[0], server)
    answers = [server.raw(server.request(BAN)) for _ in range(20)]
    assert 0 < sum(map(bool, answers)) < 10
    assert net.relay.counts["drops.wrong signatures"] == 20 - sum(map(bool, answers))


def nonce_of(packets: list[Packet], server: TellingServer) -> bytes:
    answer = server.answer(packets)
    assert answer is not None
    return answer.raw(NONCE) or b""


def test_a_challenge_is_not_larger_than_the_request() -> None:
    server = TellingServer(relaying())
    request = server.request()
    (challenge,) = server.raw(request)
    assert len(challenge.data) <= len(request)


def test_other_processes_hear_what_was_told_and_tell_it_nobody() -> None:
    one, other = relaying(), relaying()
    server = TellingServer(one)
    server.tell(VOUCHED, BAN)
    server.tell(UserEnded(600, "one"), number=7)
    server.tell(UserEnded(600, "one"), number=7)
    late = visitor(other, "late", HERE)
    late.allocate()
    news = one.relay.news()
    assert len(news) == 2
    for each in news:
        other.run(other.relay.learn(each, other.now))
    assert counts(one) == counts(other) == {"servers": 1, "vouched": 1, "ended": 1, "bans": 1}
    assert not other.open
    for each in news:
        assert other.relay.learn(each, other.now) == []


def test_what_is_known_goes_to_processes_that_start_later() -> None:
    one, later = relaying(), relaying()
    one.pass_time(50.0)
    TellingServer(one).tell(VOUCHED, UserEnded(600, "third"), BAN)
    known = one.relay.known_notices(one.now + 30.0)
    later.run(later.relay.learn(known, later.now))
    assert counts(later) == {"servers": 0, "vouched": 2, "ended": 1, "bans": 1}
    later.pass_time(69.0)
    assert counts(later)["vouched"] == 2
    later.pass_time(1.0)
    assert counts(later)["vouched"] == 0


def test_an_older_file_shortens_nothing_and_brings_no_ban_back() -> None:
    net = relaying()
    server = TellingServer(net)
    server.tell(BAN, VOUCHED)
    old = Known((BAN, VOUCHED._replace(seconds=5)))
    server.tell(LIFTED)
    net.run(net.relay.learn(old, net.now))
    net.pass_time(6.0)
    assert counts(net) == {"servers": 1, "vouched": 2, "ended": 0, "bans": 0}


def test_a_silent_server_is_not_counted() -> None:
    net = relaying()
    TellingServer(net).tell()
    net.pass_time(HEARD_SECONDS)
    assert counts(net)["servers"] == 0


def test_more_servers_than_can_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turn.core.told.MAX_SERVERS", 1)
    net = relaying()
    assert TellingServer(net).tell() == 0
    other = TellingServer(net, name=b"server 2")
    assert other.tell(BAN) == 508
    assert net.relay.learn(Notification(b"server 2", 9, (BAN,)), net.now) == []
    assert counts(net)["bans"] == 0
