"""What core and engine get from the configuration and from this machine."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from aioice import stun
from aioice.turn import make_integrity_key
from hypothesis import HealthCheck, assume, example, given
from hypothesis import settings as runs
from hypothesis import strategies as st
from pydantic import ValidationError

from host.settings import is_read_at_start
from tests.turn.network import LISTENER, TYPES, Client, Network, network
from tests.turn.service.running import LOOPBACK, SECRET, turn
from turn.config.limits import RelayLimits
from turn.config.section import Turn
from turn.flows import Address
from turn.service.from_config import RelayConfig, nat_pair, relay_settings, stream_settings
from turn.wire.integrity import ALGORITHMS
from turn.wire.preparation import PROFILES

TLS = {"certificate": "chain.pem", "key": "key.pem"}


def test_connections_are_counted_but_where_trusted() -> None:
    limits = {"connections": 5, "connections_per_address": 2, "trusted": ["192.0.2.0/24"]}
    told = stream_settings(turn(limits=limits))
    assert told[:2] == (5, 2)
    assert told.certificate is None
    ips = [Address.of(text, 0).ip for text in ("192.0.2.1", "198.51.100.1", "2001:db8::1")]
    assert list(map(told.is_trusted, ips)) == [True, False, False]


def test_only_the_networks_named_are_proxies() -> None:
    assert stream_settings(turn()).is_proxy is None
    told = stream_settings(turn(proxies=["192.0.2.4/31", "2001:db8::/64"], **TLS, detect_tls=True))
    assert told.detect_tls
    assert told.is_proxy is not None
    texts = ("192.0.2.4", "192.0.2.6", "2001:db8::9", "2001:db8:0:1::9", "::ffff:192.0.2.4")
    assert [told.is_proxy(Address.of(text, 0).ip) for text in texts] == [True, False, True, False, False]


def test_the_core_is_told_what_the_file_says() -> None:
    configured = turn(
        realm="elsewhere",
        relay_ports="21000-21999",
        encrypted_only="observe",
        users={"bob": "password of his"},
        allow_peers=["10.1.0.0/16"],
        deny_peers=["198.41.0.0/24"],
        allow_loopback_peers=False,
        external_ip=["203.0.113.5/10.0.0.5"],
        limits={"allocations_per_user": 7, "trusted": ["192.0.2.0/24"]},
    )
    listeners = [Address.of("0.0.0.0", 3478), Address.of("127.0.0.1", 3479)]
    told = relay_settings(RelayConfig(configured, [SECRET]), listeners, LOOPBACK)
    assert (told.realm, told.ports, told.own_addresses) == ("elsewhere", (21000, 21999), LOOPBACK)
    assert told.listeners == {Address.of("127.0.0.1", 3478), Address.of("127.0.0.1", 3479)}
    assert told.externals == {Address.of("10.0.0.5", 0).ip: Address.of("203.0.113.5", 0).ip}
    assert told.limits.allocations_per_user == 7
    assert told.limits.packets_per_second == 2500
    assert told.limits.is_trusted(Address.of("192.0.2.7", 0).ip)
    assert told.users.login("bob", 0.0) == ("bob", ("password of his",))
    assert told.users.login("9999999999:eve", 0.0) is not None
    asked = {ip: told.peers.allows(Address.of(ip, 0).ip) for ip in ("10.1.2.3", "198.41.0.4", "127.0.0.1")}
    assert asked == {"10.1.2.3": True, "198.41.0.4": False, "127.0.0.1": False}
    assert (told.encrypted_only, relay_settings(RelayConfig(turn(), []), [], LOOPBACK).encrypted_only) == (
        "observe",
        "off",
    )
    assert len(told.nonce_key) == 32
    assert told.nonce_key != relay_settings(RelayConfig(configured, [SECRET]), listeners, LOOPBACK).nonce_key


TRANSLATED = [  # external_ip, relay_addresses, listen -> the local address
    ("203.0.113.5/10.0.0.5", [], "udp://0.0.0.0:3478", "10.0.0.5"),
    ("203.0.113.5", ["10.0.0.7"], "udp://10.0.0.6:3478", "10.0.0.7"),
    ("203.0.113.5", ["2001:db8::7"], "udp://10.0.0.6:3478", "10.0.0.6"),
    ("2001:db8::5", ["2001:db8::7"], "udp://10.0.0.6:3478", "2001:db8::7"),
    ("127.0.0.9", [], "udp://0.0.0.0:3478", "127.0.0.1"),  # by route
]


@pytest.mark.parametrize(("external", "relays", "listen", "local"), TRANSLATED)
def test_which_local_address_nat_maps(external: str, relays: list[str], listen: str, local: str) -> None:
    configured = turn(external_ip=external, relay_addresses=relays, listen=listen)
    pairs = [pair for one in configured.external_ip for pair in nat_pair(one, configured)]
    assert pairs == [(Address.of(local, 0).ip, ip_address(external.partition("/")[0]).packed)]


CHANGED: dict[str, dict[str, Any]] = {  # every key that core or engine take at a reload, with another value
    "relay_ports": {"relay_ports": "30000-30999"},
    "relay_addresses": {"relay_addresses": ["10.0.0.7"]},
    "external_ip": {"external_ip": ["203.0.113.5/10.0.0.5"]},
    "users": {"users": {"bob": "password of his"}},
    "certificate": TLS,
    "key": TLS,
    "strict_expiry": {"strict_expiry": True},
    "icmp_to_all": {"icmp_to_all": True},
    "behaviour_discovery": {"behaviour_discovery": True},
    "classic_stun": {"classic_stun": True},
    "allow_peers": {"allow_peers": ["10.1.0.0/16"]},
    "deny_peers": {"deny_peers": ["198.41.0.0/24"]},
    "allow_loopback_peers": {"allow_loopback_peers": False},
    "encrypted_only": {"encrypted_only": "observe"},
    "limits": {"limits": {"allocations": 7}},
}
ELSEWHERE = {  # keys that a reload changes outside of core and engine
    "host": "the page",
    "countries": "the page",
    "more_hosts": "the page",
    "credential_seconds": "the page",
    "secret": "the secrets",
    "secret_file": "the secrets",
    "stun_servers": "external_ip: auto",
    "drain_seconds": "the end",
    "alternate_server": "the end",
}


def applied(**keys: object) -> bytes:
    """Everything that core and engine get, to compare."""
    config = RelayConfig(turn(**keys), [SECRET])
    core = replace(relay_settings(config, [], LOOPBACK), nonce_key=b"")
    return pickle.dumps((core, stream_settings(config.turn)._replace(is_trusted=bool, is_proxy=None)))


@pytest.mark.parametrize("key", Turn.model_fields)
def test_each_key_changes_at_a_reload_or_says_that_it_needs_a_restart(key: str) -> None:
    assert (key in CHANGED) + (key in ELSEWHERE) + is_read_at_start(Turn.model_fields[key]) == 1
    assert key not in CHANGED or applied(**CHANGED[key]) != applied()


@pytest.mark.parametrize("key", RelayLimits.model_fields)
def test_each_limit_changes_at_a_reload(key: str) -> None:
    assert not is_read_at_start(RelayLimits.model_fields[key])
    if key != "trusted":  # see above
        assert applied(limits={key: 77}) != applied()


# What some clients change; and any text at all, most of which `calln check` refuses.
COMMON = "aZ1:\u00a0\u1680\u2003\u00ad\u00aa\u00bd\u2026\u2122\u2168\ufb01\u00df\u0308\u00e4\u4e2d\uff21"
TEXTS = st.one_of(st.text(COMMON, min_size=1, max_size=12), st.text(min_size=1, max_size=12))


def configured(realm: str, name: str, password: str) -> Network:
    """A relay of whatever `calln check` accepts."""
    try:
        section = turn(realm=realm, users={name: password}, sha256=True)
    except ValidationError:
        assume(False)
    return network(relay_settings(RelayConfig(section, []), [LISTENER], frozenset({LISTENER.ip})))


class Aioice:
    """What aioice's client sends and understands: all texts as they were typed."""

    def __init__(self, net: Network, user: str, password: str) -> None:
        self.net, self.user, self.password = net, user, password
        self.known: dict[str, Any] = {}

    def ask(self) -> stun.Message:
        request = stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST)
        request.attributes["REQUESTED-TRANSPORT"] = 0x11000000
        if self.known:
            request.attributes.update({"USERNAME": self.user, **self.known})
            request.add_message_integrity(make_integrity_key(self.user, self.known["REALM"], self.password))
        [packet] = self.net.deliver(LISTENER, Address.of("8.8.8.8", 40000), bytes(request))
        return stun.parse_message(packet.data)

    def allocate(self) -> stun.Class:
        refusal = self.ask()
        self.known = {name: refusal.attributes[name] for name in ("REALM", "NONCE")}
        return self.ask().message_class


@given(TEXTS, TEXTS, TEXTS.map("password".__add__))
@example("call", "alice", "\u00bd cup of tea\u2026")
@example("call", "alice", "pa\u0308ssword-nfd")
@example("call", "alice", "no-break\u00a0space")
@example("Nacht\u2026Linie\u2122", "alice", "plain password")
@example("call", "a\u0308lice \ufb01 \u2168", "plain password")
@example("call", "1001", "plain password")
@runs(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
def test_who_is_in_an_accepted_file_gets_in_as_typed(realm: str, name: str, password: str) -> None:
    net = configured(realm, name, password)
    assert Aioice(net, name, password).allocate() is stun.Class.RESPONSE
    [session] = net.relay.sessions(0.0)
    assert session.user == name


@pytest.mark.parametrize("prepare", PROFILES, ids=lambda profile: profile.__name__)
@pytest.mark.parametrize("algorithm", [b"", *ALGORITHMS], ids=["unnamed", "SHA-256", "MD5"])
@pytest.mark.parametrize("hidden", [False, True])
def test_so_does_a_client_that_prepares_what_it_sends(
    prepare: Callable[[str], str], algorithm: bytes, hidden: bool
) -> None:
    realm, name, password = "Nacht\u2026 Linie\u2122", "Zoe\u0308 \ufb01", "no-break\u00a0\u00bd"
    net = configured(realm, name, password)
    client = Client(
        net, user=prepare(name), realm=prepare(realm), password=prepare(password),
        algorithm=algorithm, hidden=hidden,
    )  # fmt: skip
    client.allocate()
    assert client.refresh(600) == 0
    [session] = net.relay.sessions(0.0)
    assert session.user == name, "limits count one user, however it is written"
    net.run(net.relay.reload(net.relay._state.settings, 0.0))
    assert client.refresh(600) == 0


def test_no_spelling_of_a_name_gives_more_guesses() -> None:
    net = configured("call", "Zoe\u0308 \ufb01", "plain password")
    names = [profile("Zoe\u0308 \ufb01") for profile in PROFILES]
    for number in range(5):
        guesser = Client(net, port=40100 + number, user=names[number % 3], password="wrong")
        assert guesser.code(TYPES["allocate"], (0x0019, 17)) == 401
    for number, name in enumerate(names):
        late = Client(net, port=40200 + number, user=name, password="plain password")
        assert late.code(TYPES["allocate"], (0x0019, 17)) == 401


@pytest.mark.parametrize(("one", "other"), [("Zo\u00eb", "Zoe\u0308"), ("fi", "\ufb01"), ("XI", "\u216a")])
def test_two_spellings_of_one_name_are_refused(one: str, other: str) -> None:
    with pytest.raises(ValidationError, match="are one name for some clients"):
        turn(users={one: "plain password", "alice": "plain password", other: "plain password"})
    assert turn(users={one: "plain password", "alice": "plain password"})
