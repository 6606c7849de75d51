"""Encoded payloads in the turns of a partition, and the worker that lacks the key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NAMESPACE, ORDER, Served
from weft import activity, workflow
from weft.codec import encode_payload, is_encoded
from weft.payloads import Encryption, Payloads
from weft.records import (
    ActivityCompleted,
    ActivityDispatched,
    AttemptCompleted,
    AttemptUnreadable,
    SignalWorkflow,
    StartWorkflow,
    WorkflowCompleted,
)
from weft.workflow import Context

KEY = bytes(range(32))


@activity.define
async def charge(cents: int) -> str:
    return str(cents)


@activity.define(inline=True)
async def charge_here(cents: int) -> str:
    return str(cents)


@workflow.define
async def buying(ctx: Context, cents: int) -> str:
    return await ctx.execute_activity(charge, cents)


@workflow.define
async def buying_here(ctx: Context, cents: int) -> str:
    return await ctx.execute_activity(charge_here, cents)


@workflow.define
async def looking_back(ctx: Context, cents: int) -> list[str]:
    await ctx.execute_activity(charge, cents)
    await ctx.receive_signal("go")
    return ctx.history.results(charge)


@pytest.fixture
def payloads() -> Payloads:
    return Payloads(NAMESPACE.name, codecs=[Encryption({"k": KEY})])


def start(served: Served, payloads: Payloads, name: str) -> None:
    data = payloads.encode(encode_payload(5), ORDER)
    served.turn(served.signals(StartWorkflow(name, "request-1", data)))


def completed(served: Served, payloads: Payloads, value: Any = "5") -> AttemptCompleted:
    task = served.task
    result = payloads.encode(encode_payload(value), ORDER)
    return AttemptCompleted(task.run_id, task.activity_id, task.attempt, result)


def unreadable(served: Served, attempt: int = 1) -> AttemptUnreadable:
    task = served.task
    return AttemptUnreadable(task.run_id, task.activity_id, attempt, "there is no key 'k' here")


def kinds(served: Served) -> list[str]:
    return [type(event).__name__ for event in served.history()]


def test_tasks_and_results_are_encoded_for_their_workflow(serve: Serve, payloads: Payloads) -> None:
    served = serve(buying, payloads=payloads)
    start(served, payloads, "buying")
    assert is_encoded(served.task.input)
    assert payloads.decode(served.task.input, ORDER) == encode_payload([5])
    served.turn(served.results(completed(served, payloads)))
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert is_encoded(ending.result)
    assert payloads.decode(ending.result, ORDER) == encode_payload("5")


def test_run_is_blocked_when_a_worker_cannot_read_and_its_attempt_goes_out_again(
    serve: Serve, payloads: Payloads
) -> None:
    served = serve(buying, payloads=payloads)
    start(served, payloads, "buying")
    first = served.task
    served.turn(served.results(unreadable(served)))
    assert served.head().status == "blocked"
    assert "there is no key 'k' here" in served.head().reason
    served.unblock()
    assert served.head().status == "running"
    assert isinstance(served.history()[-1], ActivityDispatched)
    again = served.task
    assert (again.activity_id, again.attempt, again.input) == (
        first.activity_id,
        first.attempt,
        first.input,
    )
    served.turn(served.results(completed(served, payloads)))
    assert served.head().status == "completed"


def test_unreadable_attempt_that_nobody_waits_for_blocks_nothing(
    serve: Serve, payloads: Payloads
) -> None:
    served = serve(buying, payloads=payloads)
    start(served, payloads, "buying")
    served.turn(served.results(unreadable(served, attempt=2)))
    assert served.head().status == "running"
    served.turn(served.results(completed(served, payloads)))
    served.turn(served.results(unreadable(served)))
    assert served.head().status == "completed"


def test_unreadable_attempt_of_a_suspended_run_is_kept_and_goes_out_again(
    serve: Serve, payloads: Payloads
) -> None:
    served = serve(buying, payloads=payloads)
    start(served, payloads, "buying")
    served.suspend()
    served.turn(served.results(unreadable(served)))
    assert served.head().status == "suspended"
    served.resume()
    assert served.head().status == "running"
    assert kinds(served)[-1] == "ActivityDispatched"


def test_inline_attempt_that_could_not_be_read_is_run_again(
    serve_live: Serve, payloads: Payloads
) -> None:
    served = serve_live(buying_here, payloads=payloads)
    start(served, payloads, "buying_here")
    [task] = served.inline
    problem = AttemptUnreadable(task.run_id, task.activity_id, 1, "there is no key 'k' here")
    served.turn_inline(ORDER, problem)
    assert served.head().status == "blocked"
    served.unblock()
    assert [one.attempt for one in served.inline] == [1, 1]
    result = payloads.encode(encode_payload("5"), ORDER)
    served.turn_inline(ORDER, AttemptCompleted(task.run_id, task.activity_id, 1, result))
    assert served.head().status == "completed"


def test_code_that_looks_back_at_what_cannot_be_read_is_blocked_and_not_failed(
    serve_live: Serve, payloads: Payloads
) -> None:
    served = serve_live(looking_back, payloads=payloads)
    start(served, payloads, "looking_back")
    served.turn(served.results(completed(served, payloads)))
    chain, payloads.codecs = payloads.codecs, Payloads("x").codecs
    served.turn(served.signals(SignalWorkflow("go")))
    assert served.head().status == "blocked"
    assert "which this process has not" in served.head().reason
    payloads.codecs = chain
    served.unblock()
    assert served.head().status == "completed"
    [event] = [event for event in served.history() if isinstance(event, ActivityCompleted)]
    assert is_encoded(event.result)
