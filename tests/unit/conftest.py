"""Settings of the property tests."""

from __future__ import annotations

from hypothesis import settings

# No time limit on an example: how fast this machine is at the moment says nothing about the code.
settings.register_profile("weft", deadline=None)
settings.load_profile("weft")
