"""Why a run is blocked, as text that a record can carry."""

from __future__ import annotations

import logging
import traceback

from weft.workflow import Machine

logger = logging.getLogger("weft.worker")

NAME_LENGTH_MAX = 255
"""Of the type of an error that user code gives."""
_REASON_LENGTH_MAX = 8000
"""A reason stands in a head twice and comes from user code, and a head must fit its topic."""
TEXT_LENGTH_MAX = 7000
"""Of what an exception says, within a reason: the line of code must have room beside it."""


def writable(reason: str) -> str:
    """Cut, and without the lone surrogates that a path or a user's text may hold: a record cannot."""
    return reason[:_REASON_LENGTH_MAX].encode(errors="backslashreplace").decode()


def told(error: BaseException, machine: Machine | None) -> str:
    """What broke a turn, and where in the user's code. The log gets the whole stack: it may be ours that broke."""
    try:
        said = str(error)[:TEXT_LENGTH_MAX]
    except Exception:  # noqa: BLE001  # an exception of the user's, with a text that breaks as well
        said = ""
    text = writable(f"{type(error).__name__}: {said}" if said else type(error).__name__)
    stack = (
        "".join(traceback.format_tb(error.__traceback__)).encode(errors="backslashreplace").decode()
    )
    logger.error("the turn of a workflow broke; its run is blocked: %s\n%s", text, stack)
    line = machine.line_of(error) if machine is not None else ""
    return f"{text} ({line})" if line and line not in text else text
