"""What the kit says when a test shows something wrong."""

from __future__ import annotations

from weft.errors import WeftError


class StuckError(WeftError):
    """A run does not end by itself: it is blocked, or waits for what nobody sends. Says which."""


class CrashError(WeftError):
    """A workflow ends otherwise, or has another history, when its worker crashes at some event. Names the event."""
