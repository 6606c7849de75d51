"""For how long the log has kept an owner from serving, and how long it waits before it tries again."""

from __future__ import annotations

import logging

from weft.errors import FencedError, LogError, LogFullError
from weft.host import HOST, Host

logger = logging.getLogger("weft.worker")

_FENCED_MAX = 20
"""How often in a row this worker may be fenced before it gives up and says so."""
_RECOVERY_PAUSE_S = 0.2
_FULL_PAUSE_S = 1.0


class Outage:
    """Failures that follow one another, without anything being served between them."""

    def __init__(self, namespace: str, host: Host = HOST) -> None:
        self._namespace = namespace
        self._host = host
        self._failures = 0
        self._fenced_count = 0
        self._since_s = 0.0

    @property
    def seconds(self) -> float | None:
        """How long it has lasted; None while there is none."""
        since_s = self._since_s
        return self._host.monotonic() - since_s if since_s else None

    def note_fenced(self, error: FencedError) -> None:
        """Raises it when that happens again and again: another living process has the same ID."""
        self._fenced_count += 1
        if self._fenced_count > _FENCED_MAX:
            raise error

    def note(self, error: LogError) -> float:
        """Another failure; returns for how many seconds to wait now."""
        now_s = self._host.monotonic()
        self._since_s = self._since_s or now_s
        self._failures += 1
        if self._failures > 1:
            logger.warning(
                "nothing of %s has been served here for %.0f s, after %s failures; trying again",
                self._namespace,
                now_s - self._since_s,
                self._failures,
            )
        pause_s = _RECOVERY_PAUSE_S * min(self._failures - 1, 10)
        return _FULL_PAUSE_S if isinstance(error, LogFullError) else pause_s

    def end(self) -> None:
        """All is served again."""
        if self._failures:
            seconds = self._host.monotonic() - self._since_s
            logger.info("%s: the log answers again after %.1f s", self._namespace, seconds)
            self._failures = self._fenced_count = 0
            self._since_s = 0.0
