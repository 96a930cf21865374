"""Linphone: a call with DTLS-SRTP through the relay; see sip.py.

python -m tests.interop.clients.linphone ONE OTHER PORT USER PASSWORD SECONDS
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import sys
import wave
from pathlib import Path

from tests.interop.clients.sip import Telephone, call
from tests.interop.clients.voice import Counted
from tests.interop.homes import within

PORT = 5070  # for SIP
CONFIG = f"""
[sip]
sip_port={PORT}
sip_tcp_port=0
sip_tls_port=0
use_ipv6=0
ipv6_migration_done=1
media_encryption=dtls
media_encryption_mandatory=1
default_proxy=0

[proxy_0]
reg_proxy=<sip:{{line}}:{PORT};transport=udp>
reg_identity=<sip:telephone@{{host}}>
reg_sendregister=0
publish=0
nat_policy_ref=relay

[nat_policy_0]
ref=relay
stun_server={{relay}}
stun_server_username={{user}}
protocols=stun,turn,ice

[auth_info_0]
username={{user}}
userid={{user}}
passwd={{password}}
realm=call

[sound]
hold_music={{folder}}/tone.wav

[video]
enabled=0
"""
BEGUN, ENDED = b"Media streams established", b" ended "  # what it prints
READY = 3  # seconds until the other one answers
SPARE = 5  # seconds beside those of the call
RATE, LOUD, TONE = 16000, 8000, 440  # samples a second, the largest, Hz
SENT, HEARD, LOST = (
    re.compile(rf"ortp-message-{name} +(\d+) packets")
    for name in ("sent", "received", "incoming cumulative lost")
)
RELAYED = "IceStateRelayConnection"


async def talk(telephone: Telephone) -> Counted:
    log = telephone.folder / "log"
    (telephone.folder / ".local/share/linphone").mkdir(parents=True)
    (telephone.folder / "config").write_text(CONFIG.format(**telephone._asdict()))
    write_tone(telephone.folder / "tone.wav")
    command = ["linphonec", "-a", "-c", str(telephone.folder / "config"), "-d", "6", "-l", str(log)]
    process = await asyncio.create_subprocess_exec(
        *within(telephone.namespace, *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(telephone.folder)},
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"soundcard use files\n")
    if telephone.calls:
        await asyncio.sleep(READY)
        process.stdin.write(f"call sip:telephone@{telephone.line}:{PORT}\n".encode())
        await printed(process.stdout, BEGUN)
        await asyncio.sleep(telephone.seconds + SPARE)
        process.stdin.write(b"terminate\n")
    await printed(process.stdout, ENDED)
    await process.communicate(b"quit\n")
    return counted(log.read_text(errors="replace"))


async def printed(output: asyncio.StreamReader, wanted: bytes) -> None:
    """Until it has printed this, or has ended."""
    async for line in output:
        if wanted in line:
            return


def write_tone(path: Path) -> None:
    """A second that can be said again and again."""
    samples = (int(LOUD * math.sin(math.tau * TONE * at / RATE)) for at in range(RATE))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, RATE, "NONE", ""))
        file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))


def counted(log: str) -> Counted:
    sent, heard, lost = (pattern.search(log) for pattern in (SENT, HEARD, LOST))
    if not (sent and heard and lost):
        raise SystemExit(log)
    return Counted(int(sent[1]), int(heard[1]), int(lost[1]), "relay" if RELAYED in log else "another path")


if __name__ == "__main__":
    asyncio.run(call(talk, PORT, sys.argv[1:]))
