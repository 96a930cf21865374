"""A machine's files: whole, as its own programs want them, and as closed as systemd can have them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from config.file import parse_config
from config.ice import ice_settings
from config.look import read_look
from config.problems import ConfigError
from deploy.remote.hosts import Target, parse_config_file, targets
from deploy.remote.render import (
    CERTIFICATE,
    DNS,
    KEY,
    OPERATORS,
    PASSWORD,
    PROXIES,
    TOKENS,
    Traits,
    config_file,
    open_ports,
    release_name,
    render,
    render_proxy,
)
from deploy.remote.steps import File
from server.web.look import NO_LOOK, Look
from tests.deploy.example_configs import CONFIGS, CONTENTS, SECRET, machines, written
from tests.deploy.remote.web_servers import AROUND, MODULES

TRAITS = Traits(chains=("inet filter input",))

EACH = [(name, target) for name in CONFIGS for target in machines(name)]
# What `systemd-analyze security` counts at most, of 10; root's part has three capabilities.
UNITS = {"calln-relay@": 1.6, "calln-server@": 1.5, "calln-kernel@": 1.8}


def named(name: str, target: Target) -> str:
    return f"{name}, {target.name}"


def files(name: str, target: Target, traits: Traits = TRAITS) -> dict[str, File]:
    return {file.path: file for file in render(written(name), target, CONTENTS, traits)}


def settled(name: str, target: Target, folder: Path) -> Path:
    """The files below a folder, as they would lie on the machine."""
    for file in files(name, target).values():
        place = folder / file.path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.text)
        place.chmod(file.mode)
    return folder


@pytest.mark.parametrize(("name", "target"), EACH, ids=[named(*one) for one in EACH])
def test_however_often_a_service_fails_it_is_started_again(name: str, target: Target) -> None:
    services = {path: file.text for path, file in files(name, target).items() if path.endswith(".service")}
    assert services
    for path, text in services.items():
        assert "\nStartLimitIntervalSec=0\n" in text.partition("[Service]")[0], path


def ran(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(params=EACH, ids=lambda pair: named(*pair))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name, target = request.param
    return settled(name, target, tmp_path)


def units(place: Path) -> list[Path]:
    return sorted((place / "etc/systemd/system").iterdir())


def test_units_are_as_closed_as_can_be(place: Path) -> None:
    services = {
        unit: most for unit in units(place) for name, most in UNITS.items() if unit.name.startswith(name)
    }
    assert services
    for unit, most in services.items():
        told = ran("systemd-analyze", "security", "--offline=yes", unit)
        exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
        assert exposure is not None, told
        assert float(exposure[1]) <= most, told


def test_systemd_understands_each_unit(place: Path) -> None:
    paths = []
    for unit in units(place):
        paths.append(unit.with_name(unit.name.replace("@.", "@0.1.0-x.")))
        paths[-1].write_text(unit.read_text().replace("/usr/local", f"{place}/usr/local"))
    assert ran("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *paths) == ""


def test_no_comment_stands_behind_a_value(place: Path) -> None:
    for unit in units(place):
        assert not re.findall(r"^[^#\n]+#.*$", unit.read_text(), re.MULTILINE)


def test_a_shell_script_is_sound(place: Path) -> None:
    scripts = [path for path in place.rglob("*") if path.is_file() and path.read_text().startswith("#!")]
    assert place / "usr/local/bin/calln" in scripts
    ran("shellcheck", *scripts)


def test_accounts_and_folders_are_understood(place: Path, tmp_path: Path) -> None:
    root = tmp_path / "empty"
    (root / "etc").mkdir(parents=True)
    ran("systemd-sysusers", f"--root={root}", place / "etc/sysusers.d/calln.conf")
    assert "calln:" in (root / "etc/passwd").read_text()
    ran("systemd-tmpfiles", f"--root={root}", "--create", place / "etc/tmpfiles.d/calln.conf")
    assert (root / "etc/calln/secrets").stat().st_mode & 0o777 == 0o750
    assert (root / "etc/calln/config.yaml").readlink() == Path("/opt/calln/current/config.yaml")


@pytest.mark.parametrize(("name", "target"), EACH, ids=[named(*pair) for pair in EACH])
def test_a_machine_can_use_its_own_configuration(name: str, target: Target, tmp_path: Path) -> None:
    file = config_file(written(name), target, "0.1.0-x")
    (tmp_path / "config.yaml").write_text(file.text)
    ran("yamllint", "-d", "{extends: relaxed, rules: {line-length: disable}}", tmp_path / "config.yaml")
    config = parse_config(file.text, Path(file.path))
    assert file.path == "/opt/calln/releases/0.1.0-x/config.yaml"
    assert "deploy" not in yaml.safe_load(file.text)
    assert config.turn.secret_file == Path("/etc/calln/secrets/turn.secret")
    assert config.site.state_dir == Path("/var/lib/calln")
    assert config.turn.host == next(one.name for one in machines(name) if one.relays)


def test_only_what_holds_a_secret_is_one() -> None:
    for name, target in EACH:
        for file in files(name, target).values():
            assert file.is_secret == ("canary" in file.text)
            if file.path != OPERATORS:
                assert file.path.startswith(("/etc/calln/secrets/", "/etc/calln/tls/")) == file.is_secret
        own = config_file(written(name), target, "x")
        assert own.is_secret == ("canary" in own.text)
        assert SECRET not in own.text


def test_the_sites_password_lies_where_pages_are_served() -> None:
    text = CONFIGS["two machines"].replace("site: {", "site: {password_file: /home/me/password, ")
    source = parse_config_file(text, Path("calln.yaml"))
    server, relay = targets(source.config)
    contents = CONTENTS._replace(password="canary for all\n")
    shipped = {file.path: file for file in render(source, server, contents)}[PASSWORD]
    assert (shipped.text, shipped.mode, shipped.group) == ("canary for all\n", 0o640, "calln")
    assert PASSWORD not in {file.path for file in render(source, relay, contents)}
    own, other = (
        parse_config(config_file(source, one, "x").text, Path("/c.yaml")) for one in (server, relay)
    )
    assert (own.site.password_file, other.site.password_file) == (Path(PASSWORD), None)


def test_the_tokens_of_other_applications_lie_where_pages_are_served() -> None:
    text = f"{CONFIGS['two machines']}server: {{ice_api: {{token_file: /home/me/token, per_minute: 7}}}}\n"
    source = parse_config_file(text, Path("calln.yaml"))
    server, relay = targets(source.config)
    contents = CONTENTS._replace(tokens="canary-of-an-application\n")
    shipped = {file.path: file for file in render(source, server, contents)}[TOKENS]
    assert (shipped.text, shipped.mode, shipped.group) == ("canary-of-an-application\n", 0o640, "calln")
    assert TOKENS not in {file.path for file in render(source, relay, contents)}
    own, other = (
        parse_config(config_file(source, one, "x").text, Path("/c.yaml")) for one in (server, relay)
    )
    assert own.server.ice_api == source.config.server.ice_api.model_copy(update={"token_file": Path(TOKENS)})
    assert other.server.ice_api.token_file is None


def test_what_certbot_changes_the_dns_with_is_for_root_alone() -> None:
    text = CONFIGS["one machine"] + "deploy: {acme_dns: rfc2136, acme_dns_credentials: dns.ini}\n"
    source = parse_config_file(text, Path("calln.yaml"))
    (target,) = targets(source.config)
    shipped = {file.path: file for file in render(source, target, CONTENTS._replace(dns="canary = 1\n"))}
    assert shipped[DNS] == File(DNS, "canary = 1\n", 0o600, "root", "root")
    assert "canary" not in config_file(source, target, "x").text


def test_rules_and_logo_go_along_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text("# Be kind\n")
    (tmp_path / "logo.svg").write_text("<svg/>")
    text = CONFIGS["two machines"].replace("site: {", "site: {rules_file: rules.txt, logo: logo.svg, ")
    source = parse_config_file(text, tmp_path / "calln.yaml")
    own, other = (
        parse_config(config_file(source, one, "x").text, Path("/c.yaml")) for one in targets(source.config)
    )
    assert read_look(own) == Look("# Be kind\n", b"<svg/>")
    assert read_look(other) == NO_LOOK


def test_ports_80_and_443_belong_to_the_server_or_to_a_proxy() -> None:
    (own,) = machines("one machine")
    (behind,) = machines("behind a proxy")
    server, relay = machines("two machines")
    sockets = {"/etc/systemd/system/calln-http.socket", "/etc/systemd/system/calln-https.socket"}
    assert sockets <= set(files("one machine", own))
    assert not sockets & set(files("behind a proxy", behind))
    assert sockets <= set(files("two machines", server))
    assert not sockets & set(files("two machines", relay))
    assert "Sockets=" not in files("behind a proxy", behind)["/etc/systemd/system/calln-server@.service"].text


def test_a_relay_alone_has_port_443_itself() -> None:
    server, relay = machines("two machines")
    unit = files("two machines", relay)["/etc/systemd/system/calln-relay@.service"].text
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in unit
    assert "SocketBindAllow=tcp:443\n" in unit
    for target in (server, relay):  # the page is told what the relay has
        config = parse_config(config_file(written("two machines"), target, "x").text, Path("c"))
        assert {here.port for here in config.turn.listen if here.transport == "tls"} == {5349, 443}
        assert config.turn.host == "turn.example.org"


def test_a_private_network_is_reached_and_no_country_looked_up() -> None:
    (target,) = machines("private")
    config = parse_config(config_file(written("private"), target, "x").text, Path("c"))
    assert [str(network) for network in config.turn.allow_peers] == ["10.0.0.0/8"]
    assert config.geo.database is None


def test_what_a_container_cannot_set_is_left_out() -> None:
    (target,) = machines("one machine")
    sysctl = "/etc/sysctl.d/60-calln.conf"
    assert "49152-65535" in files("one machine", target)[sysctl].text
    assert sysctl not in files("one machine", target, Traits(container=True))


def test_without_ipv6_no_socket_asks_for_it() -> None:
    (target,) = machines("one machine")
    unit = "/etc/systemd/system/calln-https.socket"
    assert "[::]:443" in files("one machine", target)[unit].text
    assert "[::]" not in files("one machine", target, Traits(ipv6=False))[unit].text


def test_drain_limit_and_open_files_follow_the_configuration() -> None:
    (target,) = machines("with passwords")
    unit = files("with passwords", target)["/etc/systemd/system/calln-relay@.service"].text
    assert "TimeoutStopSec=70\n" in unit
    assert "LimitNOFILE=1048576\n" in unit


@pytest.mark.parametrize(("name", "target"), EACH, ids=str)
def test_memory_is_never_written_to_a_disk(name: str, target: Target) -> None:
    programs = [one.text for one in files(name, target).values() if "ExecStart=/usr/bin/python3" in one.text]
    assert programs
    for text in programs:
        assert {"LimitCORE=0", "MemorySwapMax=0"} <= set(text.splitlines())


def test_who_is_scraped_on_loopback_may_be_reached_there() -> None:
    (behind,) = machines("behind a proxy")
    rendered = files("behind a proxy", behind)
    assert "IPAddressDeny=169.254" in rendered["/etc/systemd/system/calln-server@.service"].text
    assert "IPAddressDeny=127.0.0.0/8" in rendered["/etc/systemd/system/calln-relay@.service"].text


def test_another_configuration_is_another_release() -> None:
    (one,) = machines("one machine")
    (other,) = machines("with passwords")
    first = release_name("0.1.0-ab", written("one machine"), one)
    assert first == release_name("0.1.0-ab", written("one machine"), one)
    assert first != release_name("0.1.0-ab", written("with passwords"), other)
    assert re.fullmatch(r"0\.1\.0-ab-[0-9a-f]{6}", first)


def test_a_firewall_opens_what_is_listened_at() -> None:
    server, relay = machines("two machines")
    source = written("two machines")
    assert [tuple(port) for port in open_ports(source, server)] == [("tcp", "80"), ("tcp", "443")]
    assert {tuple(port) for port in open_ports(source, relay)} == {
        ("tcp", "80"),  # for certbot, as no server of ours answers there
        ("udp", "3478"),
        ("tcp", "3478"),
        ("tcp", "5349"),
        ("tcp", "443"),
        ("udp", "49152-65535"),
    }


CHECKS = {
    "nginx": ("nginx", "-t", "-q", "-c"),
    "caddy": ("caddy", "validate", "--adapter", "caddyfile", "--config"),
    "apache": ("apache2", "-t", "-f"),
}


@pytest.mark.parametrize("kind", PROXIES)
def test_a_web_server_before_ours_takes_what_is_rendered(kind: str, tmp_path: Path) -> None:
    """The real programs read it; the certificate's place alone is another."""
    made = ["-keyout", f"{tmp_path}/k", "-out", f"{tmp_path}/c", "-subj", "/CN=x", "-days", "1"]
    ran("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *made)
    text = render_proxy(written("behind a proxy"), kind)
    text = text.replace(CERTIFICATE, str(tmp_path / "c")).replace(KEY, str(tmp_path / "k"))
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES
    )
    whole = AROUND[kind].format(folder=tmp_path, text=text, modules=modules)
    (tmp_path / "conf").write_text(whole)
    ran(*CHECKS[kind], tmp_path / "conf")


def test_without_a_server_nothing_needs_a_proxy() -> None:
    with pytest.raises(ConfigError, match="no machine has the role server"):
        render_proxy(written("a relay alone"), "nginx")


RELAYS = """
site: {url: 'https://call.example.org'}
deploy:
  hosts:
  - {address: call.example.org, roles: [ROLES]}
  - {address: one.example.org, roles: [turn]}
  - {address: two.example.org, roles: [turn]}
"""
NEAR = """
site: {url: 'https://call.example.org'}
deploy:
  hosts:
  - {address: call.example.org, roles: [ROLES]OWN}
  - {address: one.example.org, roles: [turn], countries: [us, ca]}
  - {address: two.example.org, roles: [turn]}
"""


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        ("server", ["one.example.org", "two.example.org"]),
        ("server, turn", ["call.example.org", "one.example.org", "two.example.org"]),
    ],
)
def test_pages_are_told_of_every_relay(roles: str, told: list[str]) -> None:
    source = parse_config_file(RELAYS.replace("ROLES", roles), Path("calln.yaml"))
    own = [
        parse_config(config_file(source, one, "x").text, Path("/c.yaml")) for one in targets(source.config)
    ]
    page = ice_settings(own[0], b"secret")
    assert page.hosts == tuple(told)
    assert (page.ports, page.tcp_ports, set(page.tls_ports)) == ((3478,), (3478,), {5349, 443})
    for name, relay in zip(told[-2:], own[1:], strict=True):
        assert (relay.turn.host, relay.turn.more_hosts) == (name, ())
        assert {at.port for at in relay.turn.listen} == {3478, 5349, 443}


@pytest.mark.parametrize(
    ("roles", "own", "near"),
    [
        ("server", "", [{"us", "ca"}, set()]),
        ("server, turn", "", [set(), {"us", "ca"}, set()]),
        ("server, turn", ", countries: [de]", [{"de"}, {"us", "ca"}, set()]),
    ],
)
def test_the_server_knows_which_countries_relays_are_near_to(
    roles: str, own: str, near: list[set[str]]
) -> None:
    source = parse_config_file(NEAR.replace("ROLES", roles).replace("OWN", own), Path("calln.yaml"))
    files = [config_file(source, one, "x").text for one in targets(source.config)]
    page = ice_settings(parse_config(files[0], Path("/c.yaml")), b"secret")
    assert [set(page.near[host]) for host in page.hosts] == near
    assert not any("countries" in text for text in files[1:])


@pytest.mark.parametrize(("name", "target"), EACH, ids=[named(*one) for one in EACH])
def test_a_server_may_ask_for_the_addresses_of_relays(name: str, target: Target) -> None:
    """A service of the machine resolves their names, at an address of the machine itself."""
    units = (file.text for path, file in files(name, target).items() if "calln-server@" in path)
    for text in units:
        assert ("IPAddressAllow=127.0.0.53/32" in text) is ("IPAddressDeny=127.0.0.0/8" in text)
