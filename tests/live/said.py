"""What people say and show each other in tests, and how a test recognizes it on the wire."""

from __future__ import annotations

import json
from pathlib import Path

HOLIDAY = Path(__file__).parent / "holiday.jpg"  # a JPEG with place, time, camera and a comment in it
TYPED = "canary-typed-4d1b <b>ü</b> 🙂"

# A picture of noise, which no encoder makes small.
CHOOSE_NOISE = """async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1600, height: 1200 });
  const context = canvas.getContext("2d");
  const noise = context.createImageData(1600, 1200);
  const { data } = noise;
  for (let at = 0; at < data.length; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536));
  context.putImageData(noise, 0, 0);
  const file = new File([await new Promise((done) => canvas.toBlob(done))], "noise.png");
  const chosen = new DataTransfer();
  chosen.items.add(file);
  document.getElementById("file").files = chosen.files;
  document.getElementById("file").dispatchEvent(new Event("change"));
}"""

# As in a browser that has no data channels.
WITHOUT_CHANNEL = """for (let made = RTCPeerConnection.prototype; made; made = Object.getPrototypeOf(made)) {
  delete made.createDataChannel;
}"""


def kind_of(frame: str | bytes) -> str:
    return str(json.loads(frame)["type"]) if isinstance(frame, str) else "picture"
