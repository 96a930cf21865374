"""What the bundles of the page were made of (`make page`), without the bundler."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "server" / "static"
BUILT = STATIC / "built"
TOOLS = [ROOT / ".ci" / "page" / name for name in ("build", "package-lock.json")]


def is_newest() -> bool:
    """Whether the bundles are those of the scripts and the style beside them."""
    sources = [*TOOLS, *sorted(STATIC.glob("*.css")), *sorted(STATIC.glob("*.js"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return (BUILT / "sources.sha256").read_text().strip() == digest
