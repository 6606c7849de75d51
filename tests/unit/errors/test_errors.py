"""Errors go between processes and threads by pickle, and are caught by their family."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from weft import errors
from weft.errors import (
    ActivityError,
    AlreadyStartedError,
    CorruptRecordError,
    DeadlineError,
    Failure,
    NondeterminismError,
    WeftError,
    WorkflowFailedError,
    _errors,
)


class CardDeclined(Failure):
    """As a user writes it: with arguments of its own."""

    def __init__(self, card: str, amount: int) -> None:
        super().__init__(f"card {card} declined", details={"amount": amount}, non_retryable=True)
        self.card = card


INSTANCES: list[WeftError] = [
    Failure("no stock", type="NoStock", details={"article": "a"}, non_retryable=True),
    Failure(),
    CardDeclined("4711", 20),
    ActivityError("no", activity="charge", attempts=3, type="CardDeclined", details=[1]),
    WorkflowFailedError(
        "no", workflow_id="order-1", run_id="r", status="failed", type="NoStock", details={"a": 1}
    ),
    AlreadyStartedError("running", run_id="r"),
    NondeterminismError("differs", event_id=7, expected="a", actual="b"),
    CorruptRecordError("t", 1, 42, "no JSON"),
    DeadlineError("too late"),
]


@pytest.mark.parametrize("error", INSTANCES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_error_comes_back_whole_from_a_pickle(error: WeftError, again: object) -> None:
    assert callable(again)
    copied = again(error)
    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert vars(copied) == vars(error)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_has_the_one_root_and_says_when_it_is_raised(name: str) -> None:
    error_type = getattr(errors, name)
    assert issubclass(error_type, WeftError)
    assert inspect.cleandoc(error_type.__doc__).endswith(".")


def test_nothing_is_left_out_of_the_public_names() -> None:
    defined = {
        name
        for name, value in vars(_errors).items()
        if isinstance(value, type) and value.__module__ == _errors.__name__
    }
    assert defined == set(errors.__all__)


def test_failure_is_named_after_its_class_unless_told_otherwise() -> None:
    assert Failure("x").type == "Failure"
    assert CardDeclined("1", 2).type == "CardDeclined"
    assert Failure("x", type="Other").type == "Other"


def test_activity_error_tells_the_exception_that_the_activity_raised() -> None:
    error = ActivityError("no", activity="charge", attempts=1, type="CardDeclined")
    assert error.is_a(CardDeclined)
    assert not error.is_a(ValueError)


def test_deadline_is_caught_as_a_timeout_too() -> None:
    assert issubclass(DeadlineError, TimeoutError)


def test_corrupt_record_says_where_it_is() -> None:
    assert str(CorruptRecordError("shop.state", 3, 42, "no JSON")) == (
        "The record at shop.state-3@42 cannot be understood: no JSON"
    )
