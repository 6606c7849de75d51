"""What an attempt raised, as a record that can surely be written."""

from __future__ import annotations

from weft.activity import to_failure
from weft.codec import encode, encode_payload
from weft.errors import Failure
from weft.records import FailureInfo

MESSAGE_CHARACTERS_MAX = 8000


def storable_failure(error: BaseException) -> FailureInfo:
    """The failure as a record takes it: readable as UTF-8, and bounded."""
    try:
        failure = to_failure(error)
        encode(failure)
    # Somebody else's `__str__`, or details that cannot be encoded.
    except Exception as problem:  # noqa: BLE001
        return _without_details(error, f"its details cannot be stored: {problem!r}")
    return failure


def _without_details(error: BaseException, why: str) -> FailureInfo:
    kind, non_retryable = type(error).__name__, False
    if isinstance(error, Failure):
        kind, non_retryable = error.type, error.non_retryable
    try:
        message = str(error)[:MESSAGE_CHARACTERS_MAX]
    except Exception:  # noqa: BLE001
        message = "(its text cannot be read)"
    return FailureInfo(
        type=_readable(kind),
        message=_readable(message),
        details=encode_payload(_readable(why)),
        non_retryable=non_retryable,
    )


def _readable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
