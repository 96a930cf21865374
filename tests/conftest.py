"""What all tests share: how hypothesis works."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("calln", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("calln")
