"""Where a trace comes from and goes to: the W3C `traceparent` of a start, and the IDs that follow from a run's.

A run that was started in a span belongs to that one's trace; otherwise it begins one, whose ID follows from its own.
Nobody has asked a sampler about that yet, so its children cannot be given a `traceparent`, which says whether the trace
is sampled. They are told by which run it began: whoever emits their spans asks as it would be asked for that run's.

The spans of a run have IDs that are made from its own: whoever emits one after a crash, in whatever process, gives it
the same, and what runs below it knows its parent before that is emitted.
"""

from __future__ import annotations

import hashlib
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from weft.records import RunTrace, WorkflowStarted

if TYPE_CHECKING:
    from weft.core import Run

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class TraceParent(NamedTuple):
    """A span in some process."""

    trace_id: int
    span_id: int
    sampled: bool


def current_traceparent() -> str:
    """The span that this code runs in, as W3C has it; empty when it runs in none."""
    if "opentelemetry.trace" not in sys.modules:
        return ""
    from opentelemetry import trace  # noqa: PLC0415  # somebody has imported it

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def parse(traceparent: str) -> TraceParent | None:
    """None for what is no span's: anybody may write a start."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return TraceParent(trace_id, span_id, bool(flags & 1)) if trace_id and span_id else None


def trace_id_of(run_id: str) -> int:
    """Of a run that was started in no span."""
    return _number(f"trace/{run_id}", 16)


def run_span_id(run_id: str) -> int:
    return _number(run_id, 8)


def activity_span_id(run_id: str, activity_id: int) -> int:
    return _number(f"{run_id}/{activity_id}", 8)


def attempt_span_id(run_id: str, activity_id: int, attempt: int) -> int:
    return _number(f"{run_id}/{activity_id}/{attempt}", 8)


def trace_below(run: Run) -> tuple[str, RunTrace | None]:
    """Where a child of the run belongs, below the run's own span: its `traceparent`, or its `trace`.

    It follows from what the run's history holds and from nothing else: every process says the same, whoever traces.
    """
    above = parse(run.traceparent)
    if above is not None:
        span_id = run_span_id(run.run_id)
        return f"00-{above.trace_id:032x}-{span_id:016x}-{above.sampled:02x}", None
    root = run.trace
    if root is None:
        return "", RunTrace(run.run_id, run.workflow, run.run_id)
    return "", RunTrace(root.root_run_id, root.root_workflow, run.run_id)


def trace_after(former: WorkflowStarted) -> RunTrace | None:
    """Of the run that continues one which began so, beside the same `traceparent`: it stays in the chain's trace.

    The runs of a chain stand side by side below what started it, or below its first run if that was nothing that is
    traced: a chain may be long, and nobody reads spans that lie a thousand deep.
    """
    if former.trace is not None or parse(former.traceparent) is not None:
        return former.trace
    return RunTrace(former.run_id, former.workflow, former.run_id)


def enter_attempt(traceparent: str, run_id: str, activity_id: int, attempt: int) -> None:
    """Let what this asyncio task traces from now on belong to that attempt of an activity."""
    if not traceparent or "opentelemetry.trace" not in sys.modules:
        return
    parent = parse(traceparent)
    if parent is None:
        return
    from opentelemetry import context, trace  # noqa: PLC0415  # somebody has imported it

    span = trace.SpanContext(
        parent.trace_id,
        attempt_span_id(run_id, activity_id, attempt),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(parent.sampled)),
    )
    context.attach(trace.set_span_in_context(trace.NonRecordingSpan(span)))


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size])
