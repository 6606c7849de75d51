"""How long tests wait."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 30.0
"""Far longer than anything takes; a test that waits this long has failed."""
SHORT_S = 0.3
"""Long enough to see that nothing comes."""


def until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Call `condition` until it holds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {timeout_s:g} s for {what}"
