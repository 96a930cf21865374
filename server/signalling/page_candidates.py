"""A candidate as our page writes it, read in one look: most of what a server hears are candidates.

This reads nothing that `parse_message` would refuse, and reads it as the same value: what is written in any
other way, even one blank, goes the long way there.
"""

from __future__ import annotations

import re

from server.signalling.messages import Candidate

PLAIN = r"[ !#-\[\]-~]"  # stands for itself in a string of JSON
CANDIDATE = re.compile(
    r'\{"type":"candidate","candidate":'
    rf'(\{{"candidate":"({PLAIN}{{0,512}})","sdpMid":"([!#-\[\]-~]{{0,64}})",'
    r'"sdpMLineIndex":(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])'
    r'(?:,"usernameFragment":"([A-Za-z0-9+/]{0,256})")?\})'
    rf',"call":"({PLAIN}{{1,64}})"\}}'
)


def parse_page_candidate(frame: str) -> Candidate | None:
    """The message; None: it is written in another way, or is another one."""
    found = CANDIDATE.fullmatch(frame)
    if found is None:
        return None
    written, line, mid, index, ufrag, call = found.groups()
    value = {"candidate": line, "sdpMid": mid, "sdpMLineIndex": int(index)}
    if ufrag is not None:
        value["usernameFragment"] = ufrag
    return Candidate(call=call, candidate=value, written=written)


def for_partner(message: Candidate) -> str:
    """The message as its partner gets it, where nothing of it was changed: see `encode_for_partner`."""
    return f'{{"type":"candidate","from":"partner","call":"{message.call}","candidate":{message.written}}}'
