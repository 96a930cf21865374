"""libnice, the ICE stack of GStreamer, through ctypes: two agents that may only meet through the relay.

python -m tests.interop.clients.libnice HOST PORT udp|tcp USER PASSWORD COUNT PAUSE
"""

from __future__ import annotations

import sys
import time
from ctypes import CDLL, CFUNCTYPE, POINTER, byref, c_char, c_char_p, c_int, c_uint, c_void_p, cast
from typing import Any

RFC5245, READY, FAILED, RELAYED = 0, 4, 5, 3  # of libnice's enumerations
TURN = {"udp": 0, "tcp": 1}
STEP, PATIENCE = 0.005, 25.0  # seconds
PAYLOAD = 160
STREAM = COMPONENT = 1

GObject = CDLL("libgobject-2.0.so.0")
GLib = CDLL("libglib-2.0.so.0")
Nice = CDLL("libnice.so.10")
for function in (Nice.nice_agent_new, Nice.nice_address_new, Nice.nice_agent_get_local_candidates):
    function.restype = c_void_p
Receive = CFUNCTYPE(None, c_void_p, c_uint, c_uint, c_uint, POINTER(c_char), c_void_p)
Done = CFUNCTYPE(None, c_void_p, c_uint, c_void_p)


class Agent:
    """One end of the pair; `heard` counts the datagrams that came."""

    def __init__(self, words: list[str], *, controlling: bool) -> None:
        host, port, transport, user, password = words
        self.heard, self.gathered = 0, False
        self.pointer = c_void_p(Nice.nice_agent_new(None, RFC5245))
        for name, value in (
            ("force-relay", 1),
            ("upnp", 0),
            ("ice-tcp", 0),
            ("controlling-mode", controlling),
        ):
            GObject.g_object_set(self.pointer, name.encode(), c_int(value), None)
        address = c_void_p(Nice.nice_address_new())
        Nice.nice_address_set_from_string(address, host.encode())
        Nice.nice_agent_add_local_address(self.pointer, address)
        Nice.nice_agent_add_stream(self.pointer, 1)
        server = host.encode(), c_uint(int(port)), user.encode(), password.encode(), TURN[transport]
        Nice.nice_agent_set_relay_info(self.pointer, STREAM, COMPONENT, *server)
        self.callbacks: list[Any] = [Receive(self.receive), Done(self.done)]  # kept, or they would be freed
        receive, done = self.callbacks
        Nice.nice_agent_attach_recv(self.pointer, STREAM, COMPONENT, None, receive, None)
        signal = b"candidate-gathering-done"
        GObject.g_signal_connect_data(self.pointer, signal, done, None, None, 0)
        Nice.nice_agent_gather_candidates(self.pointer, STREAM)

    def receive(self, *_: object) -> None:
        self.heard += 1

    def done(self, *_: object) -> None:
        self.gathered = True

    @property
    def ready(self) -> bool:
        state = Nice.nice_agent_get_component_state(self.pointer, STREAM, COMPONENT)
        if state == FAILED:
            raise SystemExit("libnice found no path")
        return bool(state == READY)

    def meet(self, other: Agent) -> None:
        name, password = c_char_p(), c_char_p()
        Nice.nice_agent_get_local_credentials(other.pointer, STREAM, byref(name), byref(password))
        Nice.nice_agent_set_remote_credentials(self.pointer, STREAM, name, password)
        candidates = c_void_p(Nice.nice_agent_get_local_candidates(other.pointer, STREAM, COMPONENT))
        Nice.nice_agent_set_remote_candidates(self.pointer, STREAM, COMPONENT, candidates)

    def send(self, data: bytes) -> None:
        Nice.nice_agent_send(self.pointer, STREAM, COMPONENT, len(data), data)

    def relayed(self) -> bool:
        """Whether both ends of the chosen pair are relayed addresses."""
        ends = c_void_p(), c_void_p()
        Nice.nice_agent_get_selected_pair(self.pointer, STREAM, COMPONENT, *map(byref, ends))
        return all(cast(end, POINTER(c_int))[0] == RELAYED for end in ends)


def turn_until(condition: Any) -> None:
    """Run GLib's loop until then."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("libnice waited in vain")
        turn_for(STEP)


def turn_for(seconds: float) -> None:
    """Run GLib's loop for so long."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        while GLib.g_main_context_iteration(None, 0):
            continue
        time.sleep(min(left, STEP))


def main(words: list[str]) -> None:
    *place, count, pause = words
    one, other = Agent(place, controlling=True), Agent(place, controlling=False)
    turn_until(lambda: one.gathered and other.gathered)
    one.meet(other)
    other.meet(one)
    turn_until(lambda: one.ready and other.ready)
    for number in range(int(count)):
        for agent in (one, other):
            agent.send(number.to_bytes(2) * (PAYLOAD // 2))
        turn_for(float(pause))
    turn_until(lambda: one.heard >= int(count) <= other.heard)
    kinds = "relay" if one.relayed() and other.relayed() else "another path"
    print(f"heard {min(one.heard, other.heard)} through {kinds}")


if __name__ == "__main__":
    main(sys.argv[1:])
