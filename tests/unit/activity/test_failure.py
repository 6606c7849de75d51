"""Exceptions to the failures of a history, and back; and what a running activity knows about itself."""

from __future__ import annotations

import os

import pytest

from weft import activity
from weft.activity import ActivityInfo, to_activity_error, to_failure
from weft.activity._failure import MESSAGE_CHARACTERS_MAX, STACK_CHARACTERS_MAX
from weft.codec import decode_payload, encode, encode_payload
from weft.errors import Failure, UsageError
from weft.records import PAYLOAD_BYTES_MAX, FailureInfo


class CardDeclined(Failure):
    pass


def caught(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """An exception that was really raised, so that it has a stack."""
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        raise error from cause
    return raised.value


def test_exception_becomes_its_type_message_and_stack() -> None:
    failure = to_failure(caught(ValueError("no such card")))
    assert (failure.type, failure.message) == ("ValueError", "no such card")
    assert (failure.non_retryable, failure.cause) == (False, None)
    assert "in caught" in failure.stack


def test_failure_carries_its_own_type_details_and_verdict() -> None:
    error = CardDeclined("declined", details={"code": 51}, non_retryable=True)
    failure = to_failure(error)
    assert (failure.type, failure.message, failure.non_retryable) == (
        "CardDeclined",
        "declined",
        True,
    )
    assert decode_payload(failure.details) == {"code": 51}
    assert to_failure(Failure("x", type="Custom")).type == "Custom"


def test_details_that_json_cannot_hold_are_replaced_by_the_reason() -> None:
    failure = to_failure(Failure("x", details=object()))
    assert "cannot be stored" in decode_payload(failure.details)


def test_stack_leaves_out_what_is_not_the_users() -> None:
    """The first line that a reader sees is one of theirs."""

    def hint() -> None:
        decode_payload(b'"five"', int)

    with pytest.raises(UsageError) as raised:
        hint()
    stack = to_failure(raised.value).stack
    assert "in hint" in stack
    assert "weft" + os.sep + "codec" not in stack


def test_stack_is_whole_when_it_is_ours_alone() -> None:
    with pytest.raises(UsageError) as raised:
        decode_payload(b'"five"', int)
    error = raised.value.with_traceback(raised.tb.tb_next)
    assert "in decode_or_refuse" in to_failure(error).stack


def test_long_texts_are_cut() -> None:
    def deep(depth: int) -> None:
        if not depth:
            raise ValueError("x" * 50_000)
        deep(depth - 1)

    with pytest.raises(ValueError, match="x") as raised:
        deep(200)
    failure = to_failure(raised.value)
    assert len(failure.message) == MESSAGE_CHARACTERS_MAX
    assert len(failure.stack) <= STACK_CHARACTERS_MAX


def test_causes_are_kept_up_to_a_depth() -> None:
    error: BaseException = ValueError("root")
    for number in range(20):
        error = caught(RuntimeError(f"level {number}"), error)
    failure: FailureInfo | None = to_failure(error)
    messages = []
    while failure is not None:
        messages.append(failure.message)
        failure = failure.cause
    assert messages == [f"level {number}" for number in range(19, 13, -1)]


def test_details_beyond_the_sum_that_a_failure_may_have_are_left_out() -> None:
    first = Failure("first", details="x" * 300_000)
    second = caught(Failure("second", details="y" * 300_000), first)
    failure = to_failure(caught(Failure("third"), second))
    assert failure.cause is not None
    assert failure.cause.cause is not None
    assert decode_payload(failure.cause.details) == "y" * 300_000
    assert decode_payload(failure.cause.cause.details) == (
        "its details of 300,002 bytes are left out: 400,000 is the most for a failure and all that caused it"
    )


def test_failure_at_its_longest_is_smaller_than_a_result_may_be() -> None:
    """Every text at its limit, in characters that take the most bytes as JSON, at every depth."""
    wide = "\x01" * 50_000

    def deep(depth: int) -> None:
        if not depth:
            raise Failure(wide, type=wide, details="x" * 399_998)
        deep(depth - 1)

    error: BaseException | None = None
    for _ in range(20):
        with pytest.raises(Failure) as raised:
            deep(200)
        raised.value.__cause__ = error
        error = raised.value
    assert error is not None
    size_bytes = len(encode(to_failure(error)))
    assert 700_000 < size_bytes < PAYLOAD_BYTES_MAX


def test_causes_come_to_an_end_when_they_go_in_a_circle() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert to_failure(first).type == "ValueError"


def test_activity_error_tells_the_workflow_what_happened() -> None:
    failure = FailureInfo(
        "CardDeclined",
        "declined",
        encode_payload({"code": 51}),
        cause=FailureInfo("OSError", "network"),
    )
    error = to_activity_error(failure, activity="charge", attempts=3)
    assert (str(error), error.type, error.details) == ("declined", "CardDeclined", {"code": 51})
    assert (error.activity, error.attempts) == ("charge", 3)
    assert error.is_a(CardDeclined)
    assert not error.is_a(ValueError)
    assert isinstance(error.__cause__, Failure)
    assert error.__cause__.type == "OSError"


def test_failure_survives_the_way_there_and_back() -> None:
    error = CardDeclined("declined", details=[1], non_retryable=True)
    again = to_failure(to_activity_error(to_failure(error), activity="charge", attempts=1))
    assert (again.type, again.message, again.non_retryable) == ("CardDeclined", "declined", True)
    assert decode_payload(again.details) == [1]


def test_info_is_refused_outside_of_an_activity() -> None:
    with pytest.raises(UsageError, match="inside a running activity only"):
        activity.info()


def test_info_has_one_idempotency_key_for_all_attempts() -> None:
    keys = set()
    for attempt in (1, 2):
        about = ActivityInfo("order-42", "run-1", "fulfil", "charge", 3, attempt)
        token = activity.current.set(about)
        assert activity.info() is about
        keys.add(activity.info().idempotency_key)
        activity.current.reset(token)
    assert keys == {"order-42/run-1/3"}


def test_texts_that_no_record_can_hold_are_replaced() -> None:
    failure = to_failure(Failure("b\udc80d", type="Od\udc80d"))
    assert (failure.message, failure.type) == ("b\\udc80d", "Od\\udc80d")
    assert decode_payload(encode_payload(failure), FailureInfo) == failure


def test_exception_whose_text_breaks_is_a_failure_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    failure = to_failure(Mute())
    assert (failure.type, failure.message) == ("Mute", "(its text cannot be read)")
