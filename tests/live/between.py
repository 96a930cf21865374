"""Somebody between two visitors: a server that puts keys of its own into every description."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from playwright.async_api import Page, WebSocketRoute

from tests.live.visitors import Visitor

DIVERTED = frozenset({"offer", "answer", "candidate"})

# One connection to each visitor, by name. Their channels are joined ("verbatim"), or each visitor gets an
# exchange of the page's own kind ("own").
BRIDGE = """async (how) => {
  const { Safety } = await import("/static/safety.js");
  const { fingerprintsIn } = await import("/static/safety_code.js");
  const sides = {};
  const other = (name) => Object.entries(sides).find(([known]) => known !== name)?.[1];
  const waiting = {}; // by name, what the other one's channel is not open for yet: all of it keeps its order
  const pass = (name, ...data) => {
    const queue = (waiting[name] ??= []);
    queue.push(...data);
    const link = other(name)?.link;
    if (link?.readyState === "open") queue.splice(0).forEach((one) => link.send(one));
    else if (queue.length) setTimeout(() => pass(name), 20);
  };
  const answered = (side, polite) => {
    const keys = () => ({
      own: fingerprintsIn(side.pc.localDescription.sdp),
      partner: fingerprintsIn(side.pc.remoteDescription.sdp),
    });
    const send = (message) => side.link.send(JSON.stringify(message));
    const safety = new Safety({ first: polite, keys, send, show() {} });
    side.link.onopen = () => safety.begin();
    return (data) => safety.receive(JSON.parse(data));
  };
  window.begin = async (name, call, polite) => {
    const pc = new RTCPeerConnection();
    const link = pc.createDataChannel("between", { negotiated: true, id: 0 });
    const side = (sides[name] = { pc, link, call, chain: Promise.resolve() });
    const take = how === "own" ? answered(side, polite) : (data) => pass(name, data);
    link.onmessage = ({ data }) => take(data);
    pc.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) tell(name, { type: "candidate", call, candidate: candidate.toJSON() });
    };
    if (!polite) return;
    pc.addTransceiver("audio");
    await pc.setLocalDescription();
    tell(name, { type: "offer", call, sdp: pc.localDescription.sdp });
  };
  const heard = {
    offer: async ({ pc, call }, { sdp }, name) => {
      await pc.setRemoteDescription({ type: "offer", sdp });
      await pc.setLocalDescription();
      tell(name, { type: "answer", call, sdp: pc.localDescription.sdp });
    },
    answer: ({ pc }, { sdp }) => pc.setRemoteDescription({ type: "answer", sdp }),
    candidate: ({ pc }, { candidate }) => candidate && pc.addIceCandidate(candidate),
  };
  window.take = (name, message) => {
    const side = sides[name];
    side.chain = side.chain.then(() => heard[message.type](side, message, name));
  };
}"""


class Between:
    """Sits at `page`, and takes the calls of all visitors that are given to it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sockets: dict[str, WebSocketRoute] = {}
        self.work: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue()
        self.task = asyncio.create_task(self.act())

    async def open(self, how: str) -> None:
        await self.page.expose_function("tell", self.tell)
        await self.page.evaluate(BRIDGE, how)

    def tell(self, name: str, message: dict[str, Any]) -> None:
        self.sockets[name].send(json.dumps({**message, "from": "partner"}))

    async def act(self) -> None:
        """One after the other, so that descriptions stay before their candidates."""
        while True:
            script, arguments = await self.work.get()
            await self.page.evaluate(script, arguments)

    async def swap(self, visitor: Visitor, name: str) -> None:
        """From its next socket on, this visitor talks with us instead of its partner."""

        def opened(socket: WebSocketRoute) -> None:
            server = socket.connect_to_server()
            self.sockets[name] = socket

            def said(frame: str | bytes) -> None:
                message = json.loads(frame)
                if message["type"] in DIVERTED:
                    self.work.put_nowait(("([name, message]) => take(name, message)", [name, message]))
                else:
                    server.send(frame)

            def heard(frame: str | bytes) -> None:
                message = json.loads(frame)
                if message["type"] == "matched":
                    about = [name, message["call"], message["polite"]]
                    self.work.put_nowait(("([name, call, polite]) => begin(name, call, polite)", about))
                socket.send(frame)

            socket.on_message(said)
            server.on_message(heard)

        await visitor.page.route_web_socket("**/ws", opened)

    async def close(self) -> None:
        self.task.cancel()
        await self.page.close()
