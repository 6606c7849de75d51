"""Exceptions to the failures that stand in a history, and back."""

from __future__ import annotations

import traceback

from weft.codec import decode_payload, encode_payload
from weft.errors import ActivityError, Failure, UsageError
from weft.records import NULL, FailureInfo, Payload

STACK_CHARACTERS_MAX = 4000
MESSAGE_CHARACTERS_MAX = 8000
TYPE_CHARACTERS_MAX = 255
DETAILS_BYTES_MAX = 400_000
"""Of a failure and all that caused it, together: with texts at their longest it is still less than a record takes."""
_CAUSES_MAX = 5


def to_failure(error: BaseException) -> FailureInfo:
    """An exception as data: its class's name, message, shortened stack, and what caused it. Always fits a record."""
    return _to_failure(error, 0, DETAILS_BYTES_MAX)


def _to_failure(error: BaseException, depth: int, details_bytes_max: int) -> FailureInfo:
    cause = error.__cause__
    details, non_retryable, kind = NULL, False, type(error).__name__
    if isinstance(error, Failure):
        kind, non_retryable = error.type, error.non_retryable
        details = _details(error, details_bytes_max)
        details_bytes_max -= len(details)
    stack = _writable(_stack_text(error)[-STACK_CHARACTERS_MAX:])
    return FailureInfo(
        type=_writable(kind[:TYPE_CHARACTERS_MAX]),
        message=_writable(_text_of(error)[:MESSAGE_CHARACTERS_MAX]),
        details=details,
        non_retryable=non_retryable,
        stack=stack,
        cause=_to_failure(cause, depth + 1, max(0, details_bytes_max))
        if cause and depth < _CAUSES_MAX
        else None,
    )


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # an exception of the user's, whose text breaks as well
        return "(its text cannot be read)"


def _writable(text: str) -> str:
    """Without lone surrogates (of a path that is no UTF-8, for instance): no record can hold them."""
    return text.encode(errors="backslashreplace").decode()


def _stack_text(error: BaseException) -> str:
    """The stack as its reader needs it: without Weft's own frames, unless there are no others."""
    frames = traceback.extract_tb(error.__traceback__)
    names = [
        str(frame.f_globals.get("__name__", ""))
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    theirs = [
        frame for frame, name in zip(frames, names, strict=True) if not name.startswith("weft.")
    ]
    return "".join(traceback.format_list(theirs or frames))


def _details(error: Failure, bytes_max: int) -> Payload:
    try:
        details = encode_payload(error.details)
    except UsageError as problem:
        return encode_payload(str(problem)[:MESSAGE_CHARACTERS_MAX])
    if len(details) > bytes_max and error.details is not None:
        return encode_payload(
            f"its details of {len(details):,} bytes are left out: {DETAILS_BYTES_MAX:,} is the most for a failure and "
            "all that caused it"
        )
    return details


def to_cause(failure: FailureInfo | None) -> Failure | None:
    """What a failure was caused by, for whoever gets its error."""
    if failure is None:
        return None
    error = Failure(
        failure.message,
        type=failure.type,
        details=decode_payload(failure.details),
        non_retryable=failure.non_retryable,
    )
    error.__cause__ = to_cause(failure.cause)
    return error


def to_activity_error(failure: FailureInfo, *, activity: str, attempts: int) -> ActivityError:
    """What the workflow sees when an activity has failed for good."""
    error = ActivityError(
        failure.message or failure.type,
        activity=activity,
        attempts=attempts,
        type=failure.type,
        details=decode_payload(failure.details),
        non_retryable=failure.non_retryable,
    )
    if failure.cause is not None:
        error.__cause__ = to_activity_error(failure.cause, activity=activity, attempts=attempts)
    return error
