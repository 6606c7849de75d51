"""The end of a run that continues as a new one: when it should, and what unwinds its code."""

from __future__ import annotations

SUGGESTED_EVENTS = 4_000
"""From how many events on a run is told to continue as a new one. Code depends on it, so it never changes: a replay
would find another answer."""


class ContinuedAsNew(BaseException):  # no error: it ends the code, as GeneratorExit does
    """Raised where the code asks to be continued as a new run.

    No Exception, so that code which goes on after every error ends all the same.
    """


def is_continued(error: BaseException) -> bool:
    """Whether this is all that ended the code, also from within groups of tasks."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_continued(one) for one in error.exceptions)
    return isinstance(error, ContinuedAsNew)
