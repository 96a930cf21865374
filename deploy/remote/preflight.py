"""What stands in the way on a machine before anything is done: a sentence each, which says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from deploy.remote.facts import Facts, Holder
from deploy.remote.planning import Plan, packages
from deploy.remote.render import open_ports

SYSTEMS = {"debian": ("12", "13")}
OLDEST = (3, 11)
ROOM = 400 << 20  # bytes: two releases with their packed form, and what apt fetches
OURS = ("calln-", "calln.")


def obstacles(plan: Plan, facts: Facts, answers: Sequence[str]) -> tuple[str, ...]:
    """`answers` is what the DNS says about the machine's name, asked from elsewhere. Nothing: go on."""
    return (
        *wrong_system(facts),
        *no_room(plan, facts),
        *taken_ports(plan, facts),
        *wrong_dns(plan, facts, answers),
    )


def wrong_system(facts: Facts) -> Iterator[str]:
    if facts.version not in SYSTEMS.get(facts.system, ()):
        found = f"{facts.system or 'an unknown system'} {facts.version}".strip()
        yield f"This machine runs {found}; Debian 12 or 13 is needed: take a machine with one of them."
    elif tuple(map(int, facts.python.split("."))) < OLDEST:
        yield (
            f"Its python3 is {facts.python}; 3.11 or later is needed: have /usr/bin/python3 be Debian's own "
            "again (apt install --reinstall python3-minimal)."
        )


def no_room(plan: Plan, facts: Facts) -> Iterator[str]:
    if plan.release not in facts.releases and facts.free < ROOM:
        yield (
            f"Only {facts.free >> 20} MiB are free below /opt; {ROOM >> 20} are needed: make room "
            "(apt clean, journalctl --vacuum-size=100M)."
        )
    missing = [name for name in packages(plan.source) if name not in facts.packages]
    if missing and plan.source.config.deploy.offline:
        yield (
            f"Debian's {', '.join(missing)} are missing, and deploy.offline lets nothing be fetched: install "
            "them first."
        )


def taken_ports(plan: Plan, facts: Facts) -> Iterator[str]:
    wanted = {(port.protocol, port.range) for port in open_ports(plan.source, plan.target)}
    if plan.is_acme and not plan.target.serves:
        wanted.add(("tcp", "80"))  # certbot answers the authority there
    for holder in facts.holders:
        if (holder.protocol, str(holder.port)) in wanted and not is_our_port(holder, facts):
            who = holder.who or "somebody"
            yield f"Port {holder.port} ({holder.protocol}) is taken by {who}: {way_out(holder)}."


def is_our_port(holder: Holder, facts: Facts) -> bool:
    """systemd holds what it passes on to us."""
    passed_on = facts.is_active("calln-http.socket") and holder.who in ("systemd", "init.scope")
    return holder.who.startswith(OURS) or passed_on


def way_out(holder: Holder) -> str:
    how = f" (systemctl disable --now {holder.who})" if holder.who.endswith(".service") else ""
    stop = f"stop it{how}"
    if holder.port in (80, 443):
        return f"{stop}, or leave it in front: see server.trusted_proxies and calln deploy proxy"
    return f"{stop}, or choose another port in turn.listen"


def wrong_dns(plan: Plan, facts: Facts, answers: Sequence[str]) -> Iterator[str]:
    """An authority asks whom the name leads to. Behind a NAT the machine does not know that address."""
    if not plan.is_acme:
        return
    name, own = plan.target.name, set(facts.addresses)
    own |= {str(pair.public) for pair in plan.source.config.turn.external_ip if pair.public}
    if not answers:
        yield f"The DNS knows no {name}: add an A record that leads to {listed(facts.addresses)}."
    elif any(ip_address(one).is_global for one in own) and not own & set(answers):
        yield (
            f"{name} leads to {listed(answers)}, but this machine has {listed(facts.addresses)}: correct the "
            "A record, or name the address in turn.external_ip if a NAT is in front."
        )


def listed(addresses: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(sorted(addresses)) or "no address"


def notices(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """What does not stand in the way, and should be known."""
    said = []
    if plan.source.config.deploy.firewall == "none" and (facts.chains or facts.ufw):
        ports = ", ".join(f"{port.protocol} {port.range}" for port in open_ports(plan.source, plan.target))
        kind = "ufw" if facts.ufw else "nft"
        said.append(
            f"A firewall here drops what it does not know. Open {ports}, or write deploy.firewall: {kind}."
        )
    if facts.container and plan.target.relays:
        said.append("This is a container: net.core.rmem_max and the reserved ports are its host's to set.")
    return tuple(said)
