"""Who calls from outside: Chromium in the network of the machines, which believes the authority there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from playwright.async_api import Browser, Playwright

from tests.deploy.end_to_end.network import OUTSIDE, Network
from tests.live.visitors import CHROMIUM, Visitor, talk


async def open_outside(playwright: Playwright, network: Network, home: Path, root: Path) -> Browser:
    """A Chromium that believes this authority and asks the network's name server."""
    store = home / ".pki/nssdb"
    store.mkdir(parents=True)
    begin = ["certutil", "-d", f"sql:{store}"]
    subprocess.run([*begin, "-N", "--empty-password"], check=True)
    subprocess.run([*begin, "-A", "-t", "C,,", "-n", "the authority", "-i", root], check=True)
    program = network.program(home / "chromium", ("/usr/bin/chromium",))
    return await playwright.chromium.launch(
        executable_path=program, args=[*CHROMIUM], env={"HOME": str(home)}
    )


# An office that lets out web pages only; names, certificates and SSH are the test's own.
OFFICE = """
table inet office {
  chain out {
    type filter hook output priority 0; policy drop;
    oif lo accept
    ip daddr OUTSIDE accept
    ct state established,related accept
    tcp dport { 22, 80, 443 } accept
  }
}
"""


def shut_in(network: Network) -> None:
    """From now on only web pages are reached from outside: no UDP, and no port of TURN's own."""
    rules = OFFICE.replace("OUTSIDE", OUTSIDE)
    subprocess.run(network.outside("nft", "-f", "-"), input=rules, text=True, check=True)


# How the newest connection goes: by which protocol to the relay, and what would change with ICE begun anew.
WAY = """async () => {
  const stats = [...(await watched.connections.at(-1).getStats()).values()];
  const id = stats.find((one) => one.type === "transport")?.selectedCandidatePairId;
  const pair = stats.find((one) => one.id === id);
  const local = pair && stats.find((one) => one.id === pair.localCandidateId);
  const { sdp } = watched.connections.at(-1).localDescription;
  const beginning = [watched.connections.length, /ice-ufrag:(\\S+)/.exec(sdp)[1]].join(" ");
  return [local?.candidateType, local?.relayProtocol, beginning];
}"""

# The page begins ICE anew where it hears nothing for a second, as on a machine that is busy with an upgrade.
# Whether the call itself has gone on could not be seen then.
WITHOUT_RESTARTS = "RTCPeerConnection.prototype.restartIce = () => {}"


class Call:
    """Two visitors who talk by the relay alone, and go on: nothing repairs their connection."""

    def __init__(self, ends: tuple[Visitor, Visitor], beginnings: list[str]) -> None:
        self.ends, self.beginnings = ends, beginnings

    @classmethod
    async def open(cls, browser: Browser, url: str) -> Call:
        one, other = [await Visitor.open(browser, f"{url}?relay=1") for _ in range(2)]
        for end in (one, other):
            await end.page.evaluate(WITHOUT_RESTARTS)
        await talk(one, other)
        for end in (one, other):
            await end.hears()
        return cls((one, other), [(await way(end))[2] for end in (one, other)])

    async def goes_on(self) -> None:
        """Both hear each other now, by the relay, on the connection that they began with."""
        for end, beginning in zip(self.ends, self.beginnings, strict=True):
            await end.hears()
            kind, _, now = await way(end)
            assert (kind, now) == ("relay", beginning)

    async def ways(self) -> set[str]:
        """By which protocols both reach the relay."""
        return {(await way(end))[1] for end in self.ends}

    async def close(self) -> None:
        for end in self.ends:
            await end.close()


async def way(visitor: Visitor) -> list[str]:
    return list(await visitor.page.evaluate(WAY))
