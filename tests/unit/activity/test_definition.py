"""`@activity.define`: a plain function, with options and typed arguments."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from weft import activity
from weft.codec import decode_payload, encode_payload
from weft.errors import UsageError
from weft.records import RetryPolicy


class Order(BaseModel):
    id: str
    lines: list[int]


@dataclass
class Receipt:
    order_id: str
    cents: int


@activity.define
async def charge(order: Order, cents: int = 100) -> Receipt:
    """Take the money."""
    return Receipt(order.id, cents)


@activity.define(
    name="pick-line",
    retry=activity.Retry(max_attempts=9),
    timeout=timedelta(seconds=30),
    queue="slow",
    inline=True,
)
def pick(line: int) -> int:
    return line + 1


@activity.define
def tick() -> None: ...


ORDER = Order(id="order-1", lines=[1, 2])


def test_activity_stays_a_plain_function() -> None:
    assert asyncio.run(charge(ORDER, 5)) == Receipt("order-1", 5)
    assert pick(1) == 2
    assert charge.__doc__ == "Take the money."


@pytest.mark.requirement("R1-24")
def test_activity_gets_the_defaults_when_nothing_is_said() -> None:
    assert charge.name == "charge"
    assert charge.policy == RetryPolicy(
        max_attempts=3,
        initial_interval_ms=100,
        backoff_coefficient=2.0,
        max_interval_ms=10_000,
        jitter=0.5,
        non_retryable=(),
    )
    assert charge.start_to_close_ms == 600_000
    assert (charge.queue, charge.inline, charge.is_async) == ("default", False, True)


@pytest.mark.requirement("R1-13", "R1-14")
def test_activity_has_its_options_when_they_are_given() -> None:
    assert (pick.name, pick.queue, pick.inline, pick.is_async) == ("pick-line", "slow", True, False)
    assert (pick.policy.max_attempts, pick.start_to_close_ms) == (9, 30_000)


def test_options_give_another_activity_and_leave_the_first_as_it_is() -> None:
    quick = charge.options(
        timeout=0.5, retry=activity.Retry(max_attempts=1), queue="fast", inline=True
    )
    assert (quick.name, quick.start_to_close_ms, quick.queue) == ("charge", 500, "fast")
    assert (quick.policy.max_attempts, quick.inline) == (1, True)
    assert charge.options() is not charge
    assert (charge.start_to_close_ms, charge.queue, charge.inline) == (600_000, "default", False)
    assert pick.options(inline=False).inline is False


def test_arguments_travel_as_a_json_array_and_come_back_typed() -> None:
    data = charge.encode_input((ORDER, 7), {})
    assert decode_payload(data) == [{"id": "order-1", "lines": [1, 2]}, 7]
    assert charge.decode_input(data) == [ORDER, 7]


def test_arguments_may_be_named_and_left_out() -> None:
    assert decode_payload(charge.encode_input((), {"order": ORDER}))[1:] == [100]
    assert decode_payload(charge.encode_input((ORDER,), {"cents": 3}))[1:] == [3]
    assert decode_payload(tick.encode_input((), {})) == []
    assert tick.takes_input is False


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((ORDER, 1, 2), {}), ((ORDER,), {"colour": 1}), ((ORDER, 1), {"cents": 1})],
)
def test_call_is_refused_when_it_does_not_fit_the_signature(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"^activity charge\("):
        charge.encode_input(args, kwargs)


def test_options_that_are_given_to_a_call_are_said_to_belong_to_the_activity() -> None:
    hint = r"argument 'retry'\. Options go with the activity, .*: charge\.options\(retry=\.\.\., timeout=\.\.\.\)"
    with pytest.raises(UsageError, match=hint):
        charge.encode_input((ORDER,), {"retry": 3, "timeout": 5})


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"retry": 3}, r"retry takes a weft\.activity\.Retry, such as .*, not 3"),
        ({"timeout": "5s"}, "timeout must be a timedelta, or seconds, not '5s'"),
    ],
)
def test_options_of_a_wrong_type_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        charge.options(**options)


def test_worker_may_run_an_older_caller_that_gave_fewer_arguments() -> None:
    assert charge.decode_input(encode_payload([ORDER])) == [ORDER]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([ORDER, 1, 2], "takes 2 arguments, got 3"),
        ([ORDER, "many"], "activity charge, argument 'cents': .*int"),
        (
            [{"id": "order-1", "lines": ["x"]}],
            r"activity charge, argument 'order': .*\$\.lines\[0\]`, where \"x\" came",
        ),
        ([{"id": "order-1"}], "argument 'order': .*lines"),
        ({"order": 1}, "array"),
    ],
)
def test_input_is_refused_with_the_argument_and_field_when_it_does_not_fit(
    value: object, text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        charge.decode_input(encode_payload(value))


def test_result_comes_back_as_the_declared_type() -> None:
    assert charge.decode_result(encode_payload({"order_id": "o", "cents": 3})) == Receipt("o", 3)
    with pytest.raises(UsageError, match="cents"):
        charge.decode_result(encode_payload({"order_id": "o"}))


def test_definition_is_refused_when_an_argument_could_not_be_sent() -> None:
    def many(*lines: int) -> None: ...
    def named(*, line: int) -> None: ...
    def rest(**options: int) -> None: ...

    for function in (many, named, rest):
        with pytest.raises(UsageError, match="cannot be sent"):
            activity.define(function)


def test_definition_is_refused_when_it_is_not_about_a_function() -> None:
    with pytest.raises(UsageError, match="is for functions, not 'charge'"):
        activity.define("charge")  # type: ignore[call-overload]


@pytest.mark.parametrize("timeout", [0, -1, timedelta(0), float("inf"), float("nan")])
def test_definition_is_refused_when_its_timeout_is_no_duration(timeout: float) -> None:
    with pytest.raises(UsageError, match="timeout must be longer than zero"):
        activity.define(timeout=timeout)(lambda: None)


def test_shortest_timeout_is_a_millisecond() -> None:
    assert activity.to_ms(0.0001, "timeout") == 1
    assert activity.to_ms(timedelta(days=30), "timeout") == 30 * 24 * 3600 * 1000
