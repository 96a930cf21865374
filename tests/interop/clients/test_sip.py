"""What the line between two telephones passes on."""

from __future__ import annotations

from tests.interop.clients.sip import passed_on

BODY = (
    b"v=0\r\nc=IN IP4 10.77.1.1\r\n"
    b"a=candidate:1 1 UDP 2130706431 10.77.1.2 7078 typ host\r\n"
    b"a=candidate:2 1 UDP 255 10.77.1.1 50971 typ relay raddr 10.77.1.2 rport 7078\r\n"
    b"a=candidate:3 1 UDP 16777215 10.77.1.2 7078 typ srflx raddr 10.77.1.2 rport 7078\r\n"
)
KEPT = b"".join(
    line for line in BODY.splitlines(keepends=True) if b"host" not in line and b"srflx" not in line
)
HEAD = (
    b"INVITE sip:b@10.77.1.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.1.2:5060\r\n"
    b"Contact: <sip:a@%b>\r\nContent-Length: %d"
)


def test_a_message_loses_its_direct_candidates_and_comes_from_the_line() -> None:
    sent = HEAD % (b"10.77.1.2:5060;transport=udp", len(BODY)) + b"\r\n\r\n" + BODY
    wanted = HEAD % (b"10.77.2.1:5060;transport=udp", len(KEPT)) + b"\r\n\r\n" + KEPT
    assert passed_on(sent, "10.77.2.1:5060") == wanted


def test_a_message_without_a_body_stays_as_long_as_it_is() -> None:
    sent = HEAD % (b"10.77.1.2", 0) + b"\r\n\r\n"
    assert passed_on(sent, "10.77.2.1:5060") == HEAD % (b"10.77.2.1:5060", 0) + b"\r\n\r\n"
