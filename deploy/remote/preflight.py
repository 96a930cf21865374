"""Obstacles on a machine, found before anything is done; each sentence says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address

from deploy.remote.certificates import missing_names
from deploy.remote.facts import Facts, Holder
from deploy.remote.hosts import browser_names
from deploy.remote.inventory import packages
from deploy.remote.planning import Plan
from deploy.remote.public_address import (
    deployed_pairs,
    lacks_public_address,
    own_ipv4,
    public_ipv4,
    relay_name,
)
from deploy.remote.render import CERTIFICATE, open_ports

SYSTEMS = {"debian": ("12", "13"), "ubuntu": ("24.04",)}
WANTED = "Debian 12 or 13 or Ubuntu 24.04"
OLDEST = (3, 11)
ROOM = 400 << 20  # bytes: two releases, their archive, and what apt downloads
OURS = ("calln-", "calln.")


def obstacles(
    plan: Plan, facts: Facts, answers: Mapping[str, Sequence[str]], *, renames: bool = False
) -> tuple[str, ...]:
    """All obstacles but a wrong system; `answers` are the addresses in the DNS, by the machine's names.
    `renames`: the operator says that another address is another name of the same site."""
    return (
        *(() if renames else another_site(plan, facts)),
        *no_room(plan, facts),
        *taken_ports(plan, facts),
        *behind_nat(plan, facts, answers.get(relay_name(plan.source.config, plan.target), ())),
        *(line for name in names_of(plan) for line in wrong_dns(name, plan, facts, answers.get(name, ()))),
    )


def another_site(plan: Plan, facts: Facts) -> Iterator[str]:
    """A machine is part of one site. By its other addresses one tells a new name from another site."""
    site = plan.source.config.site
    if facts.site and facts.site not in (site.url, *site.more_urls):
        yield (
            f"This machine serves {facts.site} already, and one machine serves one site: use another one. If "
            f"this is the same site with another name, keep {facts.site} in site.more_urls, or repeat this "
            "with --rename."
        )


def wrong_system(facts: Facts) -> Iterator[str]:
    if facts.version not in SYSTEMS.get(facts.system, ()):
        found = f"{facts.system or 'an unknown system'} {facts.version}".strip()
        yield f"This machine runs {found}, but Calln needs {WANTED}: use another machine."
    elif tuple(map(int, facts.python.split("."))) < OLDEST:
        yield (
            f"python3 is {facts.python}, but 3.11 or later is needed. Restore the python3 of the system: apt "
            "install --reinstall python3-minimal."
        )


def no_room(plan: Plan, facts: Facts) -> Iterator[str]:
    if plan.release not in facts.releases and facts.free < ROOM:
        yield (
            f"Only {facts.free >> 20} MiB are free in /opt, but {ROOM >> 20} MiB are needed. Make room: "
            "apt clean, journalctl --vacuum-size=100M."
        )
    missing = [name for name in packages(plan.source) if name not in facts.packages]
    if missing and plan.source.config.deploy.offline:
        yield (
            f"These Debian packages are missing: {', '.join(missing)}. With deploy.offline they cannot be "
            "downloaded: install them first."
        )


def taken_ports(plan: Plan, facts: Facts) -> Iterator[str]:
    wanted = {(port.protocol, port.range) for port in open_ports(plan.source, plan.target)}
    if plan.source.config.deploy.answers_at_port_80 and not plan.target.serves:
        wanted.add(("tcp", "80"))  # certbot needs it for the authority
    for holder in facts.holders:
        if (holder.protocol, str(holder.port)) in wanted and not is_our_port(holder, facts):
            who = holder.who or "another program"
            yield f"Port {holder.port} ({holder.protocol}) is used by {who}: {way_out(holder)}."


def is_our_port(holder: Holder, facts: Facts) -> bool:
    """Whether the port is used by Calln, or by systemd for Calln."""
    passed_on = facts.is_active("calln-http.socket") and holder.who in ("systemd", "init.scope")
    return holder.who.startswith(OURS) or passed_on


def way_out(holder: Holder) -> str:
    how = f" (systemctl disable --now {holder.who})" if holder.who.endswith(".service") else ""
    stop = f"stop it{how}"
    if holder.port in (80, 443):
        proxy = "see server.trusted_proxies and calln deploy proxy"
        return f"{stop}, or use it as a proxy in front of Calln: {proxy}"
    return f"{stop}, or choose another port in turn.listen"


def behind_nat(plan: Plan, facts: Facts, answers: Sequence[str]) -> Iterator[str]:
    """A relay must know the public address: a cloud's NAT gives the machine a private one only."""
    if not lacks_public_address(plan.source.config, plan.target, facts):
        return
    name, own, public = relay_name(plan.source.config, plan.target), own_ipv4(facts), public_ipv4(answers)
    if public:
        pair = f"{public[0]}/{own[0]}" if len(own) == 1 else f"{public[0]}"
        yield (
            f"{name} leads to {listed(answers)}, but this machine has only {listed(facts.addresses)}: "
            f"it is behind NAT, and callers could not reach the relay. Write turn.external_ip: {pair}"
        )
    elif not answers and (pairs := deployed_pairs(facts)):
        yield (
            f"{name} has no address in the DNS just now, so the public address of this machine is not known. "
            f"Try again later, or write what it has now: turn.external_ip: {', '.join(pairs)}"
        )


def asked_names(plan: Plan) -> frozenset[str]:
    """The names whose addresses `obstacles` must know."""
    return frozenset((relay_name(plan.source.config, plan.target), *names_of(plan)))


def names_of(plan: Plan) -> tuple[str, ...]:
    """The names at which the authority asks this machine."""
    asks = plan.source.config.deploy.answers_at_port_80
    return browser_names(plan.source.config, plan.target) if asks else ()


def wrong_dns(name: str, plan: Plan, facts: Facts, answers: Sequence[str]) -> Iterator[str]:
    """The name must lead to this machine, as the authority checks. Behind NAT we cannot always know."""
    own = set(facts.addresses)
    own |= {str(pair.public) for pair in plan.source.config.turn.external_ip if pair.public}
    if not answers:
        yield f"{name} is not in the DNS: add {record(facts)} with {listed(facts.addresses)}."
    elif any(ip_address(one).is_global for one in own) and not own & set(answers):
        yield (
            f"{name} has the address {listed(answers)} in the DNS, but this machine has "
            f"{listed(facts.addresses)}: correct that, or, if the machine is behind NAT, write the "
            "public address into turn.external_ip."
        )


def record(facts: Facts) -> str:
    """What the DNS calls the addresses of this machine."""
    return "an A record" if own_ipv4(facts) else "an AAAA record"


def listed(addresses: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(sorted(addresses)) or "no address"


def notices(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """What is no obstacle, but the operator should know."""
    said = list(chosen_address(plan))
    if plan.source.config.deploy.firewall == "none" and (facts.chains or facts.ufw):
        ports = ", ".join(f"{port.protocol} {port.range}" for port in open_ports(plan.source, plan.target))
        kind = "ufw" if facts.ufw else "nft"
        said.append(
            f"A firewall on this machine blocks unknown packets. Open {ports}, or write deploy.firewall: "
            f"{kind}."
        )
    if facts.container and plan.target.relays:
        said.append("This is a container: net.core.rmem_max and the reserved ports must be set on its host.")
    said += wrong_certificate(plan)
    return tuple(said)


def chosen_address(plan: Plan) -> Iterator[str]:
    """What was found although it is not written: an operator would look for it in vain."""
    if pair := plan.source.found_pair:
        name, (public, _, local) = relay_name(plan.source.config, plan.target), pair.partition("/")
        yield (
            f"{name} leads to {public} alone, and {local} is the only IPv4 address of this machine: it is "
            f"behind NAT, and its relay gets turn.external_ip: {pair}. Write this line yourself if it must "
            "not follow the DNS."
        )


def wrong_certificate(plan: Plan) -> Iterator[str]:
    """Of a certificate of the operator's own, which may be for another name."""
    names = browser_names(plan.source.config, plan.target)
    sent = [file.text for file in plan.files if file.path == CERTIFICATE]
    if lacking := [name for text in sent for name in missing_names(text, names)]:
        listing = ", ".join(lacking)
        yield f"The certificate is not for {listing}, so browsers will refuse it: get one with all names."
