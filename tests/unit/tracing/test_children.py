"""A run with its children is one trace, and so is a chain of runs: whatever crashes, wherever they run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)

from tests.unit.tracing.kit import Shown, Spans, context_of
from weft import activity, workflow
from weft.codec import decode_events, decode_messages
from weft.core import Run
from weft.errors import ChildWorkflowError
from weft.records import RunTrace, StartChild, WorkflowStarted
from weft.testing import Environment
from weft.tracing import RunTracing, current_traceparent, trace_after, trace_below

CALLERS = "00-0000000000000000000000000000000a-000000000000000b-01"


@activity.define
async def pack(item: str) -> str:
    return item


@activity.define
async def where() -> str:
    """What its code would tell whom it calls."""
    return current_traceparent()


@workflow.define
async def packing(ctx: workflow.Context, item: str) -> str:
    if item == "first":
        ctx.continue_as_new("second")
    packed = await ctx.execute_activity(pack, item)
    await ctx.sleep(60)
    return packed


@workflow.define
async def parcel(ctx: workflow.Context, item: str) -> str:
    return await ctx.execute_child(packing, item)


class RejectedError(Exception):
    pass


@workflow.define
async def rejected(ctx: workflow.Context) -> None:
    raise RejectedError("no")


@workflow.define
async def order(ctx: workflow.Context) -> str:
    far = await ctx.start_child(parcel.options(namespace="depot"), "far")
    await ctx.execute_activity(pack, "near")
    with suppress(ChildWorkflowError):
        await ctx.execute_child(rejected.options(retry=activity.Retry(max_attempts=2)))
    await ctx.start_child(packing.options(parent_close="abandon"), "left")
    return await far


@workflow.define
async def chain(ctx: workflow.Context, left: int) -> str:
    if left:
        ctx.continue_as_new(left - 1)
    return await ctx.execute_child(packing, "first")


def traced(crash_at: int, *, is_called: bool) -> tuple[Spans, int]:
    """What an order tells that crashes at that commit of whatever owner, and how many commits there are."""
    spans = Spans()
    commits = 0

    def crashes(*_: Any) -> bool:
        nonlocal commits
        commits += 1
        return commits == crash_at

    with Environment(observers=[RunTracing(spans.provider)]) as env:
        env.serve(parcel, packing, rejected)
        env._crash_at(crashes)
        tracer = spans.provider.get_tracer("user")
        with tracer.start_as_current_span("request") if is_called else nullcontext():
            run = env.start(order, id="order-1")
        with tracer.start_as_current_span("stranger"):  # nothing of the run's is below it
            run.result()
            env.advance(timedelta(hours=1))
    return spans, commits


@pytest.mark.parametrize("is_called", [True, False])
def test_children_are_below_their_parent_when_any_worker_crashes_at_any_commit(
    is_called: bool,
) -> None:
    expected = sorted([
        *([Shown("request", "", "UNSET")] if is_called else []),
        Shown("stranger", "", "UNSET"),
        Shown("workflow order", "request" if is_called else "", "OK"),
        Shown("activity pack", "workflow order", "OK"),
        Shown("workflow parcel", "workflow order", "OK"),
        Shown("workflow packing", "workflow parcel", "OK"),
        *[Shown("workflow rejected", "workflow order", "ERROR")] * 2,
        Shown("workflow packing", "workflow order", "OK"),
        *[Shown("activity pack", "workflow packing", "OK")] * 2,
        *[Shown("attempt 1 of pack", "activity pack", "OK")] * 3,
    ])  # fmt: skip
    unharmed, commits = traced(0, is_called=is_called)
    assert sorted(unharmed.tree()) == expected
    assert commits >= 15
    for crash_at in range(1, commits + 1):
        spans, _ = traced(crash_at, is_called=is_called)
        assert sorted(spans.tree()) == expected
        assert len(spans.trace_ids()) == 2, "the order's and the stranger's"


@pytest.mark.parametrize("is_called", [True, False])
def test_runs_of_a_chain_are_one_trace_side_by_side(is_called: bool) -> None:
    spans = Spans()
    with Environment(observers=[RunTracing(spans.provider)]) as env:
        env.serve(packing)
        tracer = spans.provider.get_tracer("user")
        with tracer.start_as_current_span("request") if is_called else nullcontext():
            run = env.start(chain, 3)
        assert run.result() == "second"
    runs = [span for span in spans.all if span.name == "workflow chain"]
    parents = [span.parent.span_id if span.parent else 0 for span in runs]
    first = context_of(spans.named("request") if is_called else runs[0]).span_id
    assert parents == ([first] * 4 if is_called else [0, first, first, first])
    # The child continues itself too: both of its runs are below the run that started it.
    last = context_of(runs[-1]).span_id
    children = [span for span in spans.all if span.name == "workflow packing"]
    assert [span.parent.span_id for span in children if span.parent] == [last, last]
    assert len(spans.trace_ids()) == 1


class ByRoot(Sampler):
    """Takes what begins with that span, or every trace with an even ID."""

    def __init__(self, name: str) -> None:
        self.name = name

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, *args: Any, **kwargs: Any
    ) -> SamplingResult:
        is_taken = name == self.name
        return SamplingResult(Decision.RECORD_AND_SAMPLE if is_taken else Decision.DROP)

    def get_description(self) -> str:
        return self.name


@pytest.mark.parametrize(
    ("sampler", "counts"),
    [
        (lambda: TraceIdRatioBased(0.5), range(1, 20)),
        (lambda: ByRoot("workflow chain"), [20]),
        (lambda: ByRoot("workflow packing"), [0]),
    ],
)
def test_sampler_takes_a_run_with_its_children_or_none(
    sampler: Callable[[], Sampler], counts: Any
) -> None:
    spans = Spans(ParentBased(sampler()))
    with Environment(observers=[RunTracing(spans.provider)]) as env:
        env.serve(packing)
        for number in range(20):
            env.start(chain, 1, id=f"chain-{number}").result()
    traces = spans.trace_ids()
    assert len(traces) in counts
    assert len(spans.all) == 6 * len(traces)
    assert all(shown.parent != "?" for shown in spans.tree())


def test_childs_activity_tells_whom_it_calls_of_the_callers_trace() -> None:
    @workflow.define
    async def child(ctx: workflow.Context) -> str:
        return await ctx.execute_activity(where)

    @workflow.define
    async def parent(ctx: workflow.Context) -> str:
        return await ctx.execute_child(child)

    spans = Spans()
    with Environment(observers=[RunTracing(spans.provider)]) as env:
        env.serve(child)
        with spans.provider.get_tracer("user").start_as_current_span("request"):
            run = env.start(parent)
        told = run.result()
    attempt = context_of(spans.named("attempt 1 of where"))
    assert told == f"00-{attempt.trace_id:032x}-{attempt.span_id:016x}-01"
    assert len(spans.trace_ids()) == 1


def test_records_of_before_decode_and_begin_a_trace_of_their_own() -> None:
    old_start = (
        b'{"kind":"start_child","parent":{"namespace":"a","workflow_id":"p","run_id":"r","number":1},'
        b'"workflow":"packing","input":null,"v":1}'
    )
    started = (
        b'[{"type":"WorkflowStarted","event_id":1,"time_ms":1,"run_id":"r1","workflow":"packing"}]'
    )
    message = decode_messages(old_start)
    assert isinstance(message, StartChild)
    assert (message.traceparent, message.trace) == ("", None)
    (event,) = decode_events(started)
    assert isinstance(event, WorkflowStarted)
    assert (event.traceparent, event.trace) == ("", None)
    assert trace_after(event) == RunTrace("r1", "packing", "r1")


@pytest.mark.parametrize("text", ["", "nonsense", f"00-{0:032x}-{1:016x}-01"])
def test_trace_below_a_run_follows_from_its_records_alone(text: str) -> None:
    spans = Spans()
    run = workflow_run(traceparent=CALLERS)
    with spans.provider.get_tracer("user").start_as_current_span("ambient"):
        traceparent, trace = trace_below(run)
        assert (traceparent[:36], trace) == (CALLERS[:36], None)
        assert traceparent[36:52] not in CALLERS
        assert traceparent.endswith("-01")
        assert trace_below(workflow_run(traceparent=text)) == ("", RunTrace("r", "buy", "r"))
        above = RunTrace("root", "first", "r0")
        assert trace_below(workflow_run(trace=above)) == ("", RunTrace("root", "first", "r"))
    started = WorkflowStarted(1, 1, "r", "buy", traceparent=text)
    assert trace_after(started) == RunTrace("r", "buy", "r")
    kept = msgspec.structs.replace(started, traceparent=CALLERS)
    assert trace_after(kept) is None
    assert trace_after(msgspec.structs.replace(started, trace=above)) == above


def workflow_run(**fields: Any) -> Any:
    return Run("buy-1", run_id="r", workflow="buy", **fields)
