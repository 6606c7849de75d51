"""One trace a run, whatever crashes: every span once, under the ID that it always has."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

from tests.unit.executor.kit import MortalStore
from tests.unit.tracing.kit import Shown, Spans, context_of
from weft import activity, workflow
from weft.core import decide_start
from weft.executor import (
    DefaultExecutor,
    DurableExecutor,
    RetryPolicy,
    Signal,
    WorkflowOptions,
    apply_middleware,
    with_tracing,
)
from weft.records import StartWorkflow
from weft.stores import InMemoryStore
from weft.testing import Environment
from weft.tracing import RunTracing, current_traceparent
from weft.tracing._context import parse

TREE = [
    Shown("attempt 1 of charge", "activity charge", "ERROR"),
    Shown("attempt 2 of charge", "activity charge", "OK"),
    Shown("activity charge", "workflow buy", "OK"),
    Shown("attempt 1 of ship", "activity ship", "ERROR"),
    Shown("activity ship", "workflow buy", "ERROR"),
    Shown("activity wait_for_nothing", "workflow buy", "ERROR"),
    Shown("workflow buy", "", "OK"),
]


@activity.define(retry=activity.Retry(max_attempts=2))
async def charge(cents: int) -> int:
    return cents


@activity.define(retry=activity.Retry(max_attempts=1))
async def ship() -> None: ...


@activity.define
async def wait_for_nothing() -> None: ...


@workflow.define
async def buy(ctx: workflow.Context, cents: int) -> int:
    total = await ctx.execute_activity(charge, cents)
    await ctx.sleep(60)
    try:
        await ctx.execute_activity(ship)
    except Exception:  # noqa: BLE001  # it goes on
        given_up = ctx.execute_activity(wait_for_nothing)
        await ctx.sleep(1)
        given_up.cancel()
    await ctx.receive_signal("go")
    return total


def traced(crash_at: int) -> tuple[Spans, int]:
    """What a run tells that crashes at that commit, and how many commits there are."""
    spans = Spans()
    commits = 0
    failures = []

    def crashes(namespace: str, workflow_id: str, first_event_id: int, last_event_id: int) -> bool:
        nonlocal commits
        commits += 1
        return commits == crash_at

    def charged(cents: int) -> int:
        failures.append(cents)
        if len(failures) == 1:
            raise RuntimeError("declined")
        return cents

    with Environment(observers=[RunTracing(spans.provider)]) as env:
        env._crash_at(crashes)
        env.fake(charge, charged)
        env.fake(ship, ValueError("lost"))
        env.fake(wait_for_nothing, None, takes=3600)
        run = env.start(buy, 42, id="buy-1")
        run.signal("go")
        assert run.result() == 42
    return spans, commits


def test_run_is_one_trace_when_its_worker_crashes_at_any_commit() -> None:
    unharmed, commits = traced(crash_at=0)
    assert unharmed.tree() == TREE
    ids = [context_of(span).span_id for span in unharmed.all]
    assert commits >= 6
    for crash_at in range(1, commits + 1):
        spans, _ = traced(crash_at)
        assert spans.tree() == TREE
        assert [context_of(span).span_id for span in spans.all] == ids
        assert spans.trace_ids() == unharmed.trace_ids()


def test_spans_tell_what_they_are_and_how_long_it_took() -> None:
    spans, _ = traced(crash_at=0)
    run = spans.named("workflow buy")
    assert run.attributes is not None
    assert run.attributes["workflow.id"] == "buy-1"
    assert run.attributes["workflow.type"] == "buy"
    assert run.attributes["workflow.status"] == "completed"
    assert run.start_time is not None
    assert run.end_time is not None
    assert 61 <= (run.end_time - run.start_time) / 1e9 < 70
    charged = spans.named("activity charge")
    assert charged.attributes is not None
    assert (charged.attributes["activity.name"], charged.attributes["activity.attempts"]) == (
        "charge",
        2,
    )
    failed = spans.named("attempt 1 of charge")
    (event,) = failed.events
    assert (event.name, event.attributes) == (
        "exception",
        {"exception.type": "RuntimeError", "exception.message": "declined"},
    )
    assert failed.status.description == "RuntimeError: declined"
    assert failed.end_time is not None
    second = spans.named("attempt 2 of charge")
    assert second.start_time is not None
    assert second.start_time >= failed.end_time + 50_000_000, "the pause is no attempt's"


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_sampler_takes_a_whole_run_or_none(rate: float) -> None:
    async def step(ctx: Any, number: int) -> int:
        return number

    async def steps(ctx: Any, number: int) -> int:
        result: int = await ctx.execute_activity(step, number)
        return result

    async def run() -> None:
        spans = Spans(ParentBased(TraceIdRatioBased(rate)))
        async with DefaultExecutor(observers=[RunTracing(spans.provider)]) as executor:
            for number in range(20):
                handle = await executor.execute(steps, WorkflowOptions(input=number))
                await handle.result()
        traces = spans.trace_ids()
        assert len(spans.all) == 3 * len(traces)
        assert {0.0: len(traces) == 0, 0.5: 0 < len(traces) < 20, 1.0: len(traces) == 20}[rate]

    asyncio.run(run())


def test_run_goes_on_when_nobody_exports() -> None:
    """With no SDK, or one that is switched off."""
    with Environment(observers=[RunTracing(trace.NoOpTracerProvider())]) as env:
        env.fake(ship, None)
        run = env.start(buy, 1)
        run.signal("go")
        assert run.result() == 1
    spans = Spans(ALWAYS_OFF)
    with Environment(observers=[RunTracing(spans.provider)]) as env:
        env.fake(ship, None)
        run = env.start(buy, 1)
        run.signal("go")
        assert run.result() == 1
    assert spans.all == ()


async def traced_activity(number: int) -> str:
    """Its code traces something of its own."""
    with trace.get_tracer("user", tracer_provider=_provider).start_as_current_span("inside"):
        return current_traceparent()


_provider: Any = None


async def calls(ctx: Any, number: int) -> str:
    told: str = await ctx.execute_activity(traced_activity, number, retry=RetryPolicy(2))
    await ctx.receive_signal("go")
    return told


def in_two_lives(dies_at: int) -> Spans:
    """Started within a span, killed at a save, and recovered in another process."""
    global _provider  # noqa: PLW0603  # a user's tracer is global too
    spans = Spans()
    _provider = spans.provider

    async def run() -> None:
        kept = InMemoryStore()
        mortal = MortalStore(kept, dies_at, written=True)
        first = DefaultExecutor(mortal, observers=[RunTracing(spans.provider)])
        wrapped = apply_middleware(first, with_tracing(spans.provider))
        starting = asyncio.ensure_future(
            wrapped.execute(calls, WorkflowOptions(id="wf-1", input=1))
        )
        await mortal.died.wait()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await first.close()
        second = DefaultExecutor(kept, workflows=[calls], observers=[RunTracing(spans.provider)])
        async with second:
            await second.signal("wf-1", Signal("go"))
            told = await (await second.handle("wf-1")).result()
            assert f"{context_of(spans.named('inside')).span_id:016x}" in told

    asyncio.run(run())
    return spans


def test_trace_of_the_caller_goes_on_in_another_process() -> None:
    spans = in_two_lives(dies_at=2)  # the activity has run, and its result is saved
    below = {shown.name: shown.parent for shown in spans.tree()}
    # What the first process had committed just as it died is told by nobody; all that was told fits together.
    assert below.items() >= {
        ("workflow.execute", ""),
        ("workflow calls", "workflow.execute"),
    }
    assert len(spans.trace_ids()) == 1
    spans = in_two_lives(dies_at=1)  # the activity has not run
    assert spans.tree() == [
        Shown("workflow.execute", "", "UNSET"),
        Shown("inside", "attempt 1 of traced_activity", "UNSET"),
        Shown("attempt 1 of traced_activity", "activity traced_activity", "OK"),
        Shown("activity traced_activity", "workflow calls", "OK"),
        Shown("workflow calls", "workflow.execute", "OK"),
    ]
    assert len(spans.trace_ids()) == 1


@pytest.mark.parametrize(
    "text", ["", "00-abc", f"00-{0:032x}-{1:016x}-01", f"00-{1:032x}-{0:016x}-01", "x" * 999]
)
def test_traceparent_that_is_none_is_passed_over(text: str) -> None:
    assert parse(text) is None
    start = StartWorkflow("buy", "request", traceparent=text)
    (started,) = decide_start(start, run_id="r", version="", now_ms=1).events
    assert len(started.traceparent) <= 55  # type: ignore[attr-defined]


def test_traceparent_is_read_with_its_flag() -> None:
    for flag, sampled in (("00", False), ("01", True)):
        assert parse(f"00-{7:032x}-{8:016x}-{flag}") == (7, 8, sampled)
    assert current_traceparent() == ""


async def approved(ctx: Any, input: Any) -> Any:
    return await ctx.receive_signal("go")


def test_each_operation_of_an_executor_has_its_span() -> None:
    spans = Spans()

    async def run(executor: DurableExecutor) -> None:
        await executor.execute(approved, WorkflowOptions(id="wf-1"))
        await executor.query("wf-1", "status")
        await executor.signal("wf-1", Signal("go"))
        await executor.execute(approved, WorkflowOptions(id="wf-2"))
        await executor.cancel("wf-2")
        with pytest.raises(Exception, match="not found or not running") as caught:
            await executor.signal("no", Signal("go"))
        assert type(caught.value).__name__ == "ExecutorError"

    async def opened() -> None:
        async with DefaultExecutor(InMemoryStore()) as executor:
            await run(apply_middleware(executor, with_tracing(spans.provider)))

    asyncio.run(opened())
    told = [
        (span.name, dict(span.attributes or {}), span.status.status_code.name) for span in spans.all
    ]
    expected: list[tuple[str, dict[str, str], str]] = [
        ("workflow.execute", {"workflow.id": "wf-1"}, "OK"),
        ("workflow.query", {"workflow.id": "wf-1", "workflow.query.type": "status"}, "OK"),
        ("workflow.signal", {"workflow.id": "wf-1", "workflow.signal.name": "go"}, "OK"),
        ("workflow.execute", {"workflow.id": "wf-2"}, "OK"),
        ("workflow.cancel", {"workflow.id": "wf-2"}, "OK"),
        ("workflow.signal", {"workflow.id": "no", "workflow.signal.name": "go"}, "ERROR"),
    ]
    assert told == [
        (name, {"gen_ai.operation.name": name, **attributes}, status)
        for name, attributes, status in expected
    ]
    (event,) = spans.all[-1].events
    assert event.name == "exception"
    assert "not found or not running" in str((event.attributes or {})["exception.message"])
