"""`@workflow.define`: a plain function under a name, with a typed input."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from tests.unit.workflow.conftest import Drive
from weft import workflow
from weft.codec import encode_payload
from weft.errors import UsageError
from weft.workflow import Context, GeneratorContext, Workflow


class Order(BaseModel):
    id: str
    lines: list[int]


@dataclass
class Outcome:
    order_id: str
    count: int


@workflow.define
async def fulfil(ctx: Context, order: Order) -> Outcome:
    """Bring an order on its way."""
    assert isinstance(order, Order)
    return Outcome(order.id, len(order.lines))


@workflow.define(name="fulfil-2", version="2")
async def renamed(ctx: Context, order: Order) -> Outcome:
    return Outcome(order.id, 0)


@workflow.define
async def without_input(ctx: Context) -> None: ...


@workflow.define
def generator(ctx: GeneratorContext, order: Order) -> Generator[Any, Any, Outcome]:
    yield ctx.create_timer(timedelta(seconds=1))
    return Outcome(order.id, 1)


ORDER = Order(id="order-1", lines=[1, 2])


@pytest.mark.requirement("R1-12")
def test_workflow_stays_a_plain_function(drive: Drive) -> None:
    ctx: Any = None
    assert asyncio.run(fulfil(ctx, ORDER)) == Outcome("order-1", 2)
    assert fulfil.__doc__ == "Bring an order on its way."
    assert repr(fulfil) == "<workflow fulfil>"


def test_workflow_has_its_functions_name_when_none_is_given() -> None:
    assert (fulfil.name, fulfil.version) == ("fulfil", "")
    assert (renamed.name, renamed.version) == ("fulfil-2", "2")


def test_input_and_result_travel_as_json_and_come_back_typed(drive: Drive) -> None:
    run = drive(fulfil, ORDER)
    assert run.result == {"order_id": "order-1", "count": 2}
    assert fulfil.decode_result(run.run.result) == Outcome("order-1", 2)


def test_version_stands_in_the_history(drive: Drive) -> None:
    assert drive(renamed, ORDER).run.version == "2"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"id": "order-1"}, "workflow fulfil, input: .*lines"),
        (
            {"id": "order-1", "lines": ["x"]},
            r"workflow fulfil, input: .*\$\.lines\[0\]`, where \"x\" came",
        ),
        (5, "workflow fulfil, input: 5 is not Order"),
        (object(), "cannot be stored"),
    ],
)
def test_input_is_refused_where_it_enters_when_it_does_not_fit(value: object, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        fulfil.encode_input(value)


def test_input_that_fits_is_encoded() -> None:
    assert fulfil.encode_input(ORDER) == encode_payload({"id": "order-1", "lines": [1, 2]})
    assert without_input.encode_input(None) == encode_payload(None)


def test_run_fails_when_its_input_came_in_another_way_and_does_not_fit(drive: Drive) -> None:
    """Any Kafka producer may write a start."""
    run = drive(fulfil, {"id": "order-1"})
    assert run.failure.type == "UsageError"
    assert "lines" in run.failure.message


def test_generator_is_a_workflow_with_a_context_of_its_own(drive: Drive) -> None:
    run = drive(generator, ORDER)
    run.advance(1000)
    assert run.result == {"order_id": "order-1", "count": 1}


def test_definition_is_refused_when_the_function_cannot_wait() -> None:
    def plain(ctx: Context) -> None: ...

    with pytest.raises(UsageError, match="workflow plain is neither `async def` nor a generator"):
        workflow.define(plain)  # type: ignore[arg-type]


def test_definition_is_refused_when_it_is_not_about_a_function() -> None:
    with pytest.raises(UsageError, match="is for functions, not 'fulfil'"):
        workflow.define("fulfil")  # type: ignore[call-overload]


def test_definition_is_refused_when_it_takes_more_than_one_input() -> None:
    async def none() -> None: ...
    async def two(ctx: Context, first: int, second: int) -> None: ...
    async def named(ctx: Context, *, first: int) -> None: ...
    async def many(ctx: Context, *rest: int) -> None: ...

    functions: list[Any] = [none, two, named, many]
    for function in functions:
        with pytest.raises(UsageError, match="takes its context and at most one input"):
            workflow.define(function)


def test_names_tell_definitions_apart() -> None:
    assert len({each.name for each in (fulfil, renamed, without_input, generator)}) == 4
    assert all(isinstance(each, Workflow) for each in (fulfil, generator))
