"""baresip: a call with DTLS-SRTP through the relay; see sip.py.

python -m tests.interop.clients.baresip ONE OTHER PORT USER PASSWORD SECONDS
"""

from __future__ import annotations

import asyncio
import re
import sys

from tests.interop.clients.sip import Telephone, call
from tests.interop.clients.voice import Counted
from tests.interop.homes import RELAY_SIDE, within

PORT = 5060  # for SIP
CONFIG = f"""
sip_listen {{host}}:{PORT}
audio_source ausine,440
rtcp_mux yes
rtp_stats yes
module_path /usr/lib/baresip/modules
module opus.so
module ausine.so
module ice.so
module dtls_srtp.so
module_tmp account.so
module_app menu.so
"""
ACCOUNT = (
    "<sip:telephone@{host}>;regint=0;answermode=auto;medianat=ice;mediaenc=dtls_srtp;"
    'stunserver="turn:{relay}";stunuser="{user}";stunpass="{password}"\n'
)
READY = 2  # seconds until the other one answers
SPARE = 20  # seconds beside those of the call
PATH = re.compile(r"mnat 'ice' connected: raddr (\S+):\d+")
COUNTS = re.compile(r"^packets: +(\d+) +(\d+)", re.MULTILINE)
LOST = re.compile(r"^lost: +(\d+) +(\d+)", re.MULTILINE)


async def talk(telephone: Telephone) -> Counted:
    telephone.folder.mkdir()
    (telephone.folder / "config").write_text(CONFIG.format(**telephone._asdict()))
    (telephone.folder / "accounts").write_text(ACCOUNT.format(**telephone._asdict()))
    command = ["baresip", "-f", str(telephone.folder), "-t", str(telephone.seconds + SPARE)]
    if telephone.calls:
        await asyncio.sleep(READY)
        command += ["-e", f"/dial sip:telephone@{telephone.line}:{PORT}"]
    process = await asyncio.create_subprocess_exec(
        *within(telephone.namespace, *command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode(errors="replace")
    return counted(said)


def counted(said: str) -> Counted:
    counts, lost, path = COUNTS.search(said), LOST.search(said), PATH.search(said)
    if not (counts and lost and path):
        raise SystemExit(said)
    kind = "relay" if path[1] in RELAY_SIDE else path[1]
    return Counted(int(counts[1]), int(counts[2]), int(lost[1]) + int(lost[2]), kind)


if __name__ == "__main__":
    asyncio.run(call(talk, PORT, sys.argv[1:]))
