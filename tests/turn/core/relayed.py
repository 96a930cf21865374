"""A call whose packets all go through a relay's core."""

from __future__ import annotations

from tests.turn.call import Call
from tests.turn.network import PEER, Client, Network
from turn.gate.gate import Verdict
from turn.wire.stun import channel_data

CHANNEL = 0x4000


class Relayed(Call):
    """A call whose packets all go up to the core; whether one passes is whether it left."""

    def __init__(self, net: Network, client: Client, channel: int | None = CHANNEL) -> None:
        super().__init__(net.relay._state.allocations.gate, relay=client.allocate(), peer=PEER, admit=False)
        self.net, self.client, self.channel = net, client, channel
        assert client.permit(PEER) == 0
        assert channel is None or client.bind(channel, PEER) == 0

    def say(self, payload: bytes, *, wait: float = 0.0) -> Verdict:
        self.net.pass_time(wait)
        if self.channel is None:
            return self.verdict(len(self.client.send(PEER, payload)))
        return self.verdict(len(self.client.raw(channel_data(self.channel, payload))))

    def hear(self, payload: bytes, *, wait: float = 0.0) -> Verdict:
        self.net.pass_time(wait)
        return self.verdict(len(self.net.deliver(self.relay, PEER, payload)))

    def verdict(self, left: int) -> Verdict:
        return Verdict(left == 1, "left" if left else "stayed")

    def media(self) -> list[frozenset[int] | None]:
        return [rule.media for rule in self.net.links.values()]
