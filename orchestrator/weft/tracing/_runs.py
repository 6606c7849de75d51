"""The spans of runs: emitted once, when the end of what they tell of is committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from weft.records import (
    ActivityCancelled,
    ActivityCompleted,
    ActivityFailed,
    ActivityLost,
    ActivityRetryScheduled,
    FailureInfo,
    HistoryEvent,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from weft.tracing._context import (
    TraceParent,
    activity_span_id,
    attempt_span_id,
    parse,
    run_span_id,
    trace_id_of,
)

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from weft.executor import Fact

_MS_IN_NS = 1_000_000


class RunTracing:
    """An observer that tells an OpenTelemetry tracer of runs, of their activities and of each attempt.

    A run is one span; its activities are spans below it, and their attempts spans below those. Its children are below
    it too, in whatever namespace. The trace is its caller's if it was started within a span, and otherwise its own;
    runs that continue it are in the same one. A crash emits nothing twice: what a replay repeats is told to nobody, and
    a span whose end was not committed is emitted by whoever commits it, with the ID that it would have had. The span of
    something that was committed just as the process died may be missing. Without `provider` it is the global one.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        from opentelemetry import trace  # noqa: PLC0415  # for those who trace

        self._trace = trace
        self._provider = provider
        self._ids = _ChosenIds()

    @cached_property
    def _tracer(self) -> Any:
        """Taken when there is something to tell: the global provider may be set after this was made."""
        provider = self._provider or self._trace.get_tracer_provider()
        tracer: Any = cast("Any", provider.get_tracer("weft"))
        # A tracer of the SDK asks this for IDs; one that does nothing has no use for it.
        tracer.id_generator = self._ids
        return tracer

    def tell(self, facts: Sequence[Fact]) -> None:
        """Emit the spans of what has ended."""
        for fact in facts:
            tell = _TELLS.get(type(fact.event))
            if tell is not None:
                tell(self, fact, fact.event)

    def _run_ended(self, fact: Fact, event: HistoryEvent) -> None:
        failure = event.failure if isinstance(event, WorkflowFailed) else None
        status = _STATUSES[type(event)]
        self._emit(
            f"workflow {fact.workflow}",
            fact,
            span_id=run_span_id(fact.run_id),
            parent=self._above(fact),
            start_ms=fact.created_ms,
            attributes={"workflow.status": status},
            error=None if status in {"completed", "continued"} else _error(failure, status),
        )

    def _attempt_ended(self, fact: Fact, event: Any) -> None:
        failure: FailureInfo | None = getattr(event, "failure", None)
        name = fact.activity
        activity_id = activity_span_id(fact.run_id, event.activity_id)
        self._emit(
            f"attempt {event.attempt} of {name}",
            fact,
            span_id=attempt_span_id(fact.run_id, event.activity_id, event.attempt),
            parent=self._within(fact, activity_id),
            start_ms=fact.attempt_ms,
            attributes={"activity.name": name, "activity.attempt": event.attempt},
            error=None
            if isinstance(event, ActivityCompleted)
            else _error(failure, getattr(event, "reason", "")),
        )

    def _activity_ended(self, fact: Fact, event: Any) -> None:
        if isinstance(event, ActivityCompleted | ActivityFailed):
            self._attempt_ended(fact, event)
        attempts = fact.attempt
        self._emit(
            f"activity {fact.activity}",
            fact,
            span_id=activity_span_id(fact.run_id, event.activity_id),
            parent=self._within(fact, run_span_id(fact.run_id)),
            start_ms=fact.scheduled_ms,
            attributes={
                "activity.name": fact.activity,
                "activity.id": event.activity_id,
                "activity.attempts": attempts,
            },
            error=None
            if isinstance(event, ActivityCompleted)
            else _error(getattr(event, "failure", None), "cancelled"),
        )

    def _above(self, fact: Fact) -> TraceParent | None:
        """What the run's own span belongs below; None begins a trace."""
        started_in = parse(fact.traceparent)
        if started_in is not None or fact.trace is None:
            return started_in
        trace_id = trace_id_of(fact.trace.root_run_id)
        span_id = run_span_id(fact.trace.parent_run_id)
        return TraceParent(trace_id, span_id, self._samples(trace_id, fact.trace.root_workflow))

    def _within(self, fact: Fact, span_id: int) -> TraceParent:
        """A span of the same run."""
        above = self._above(fact)
        if above is not None:
            return TraceParent(above.trace_id, span_id, above.sampled)
        trace_id = trace_id_of(fact.run_id)
        return TraceParent(trace_id, span_id, self._samples(trace_id, fact.workflow))

    def _samples(self, trace_id: int, root_workflow: str) -> bool:
        """What the tracer says of the span that the trace began with: those below must not outlive its choice."""
        sampler = getattr(self._tracer, "sampler", None)
        if sampler is None:
            return False
        name = f"workflow {root_workflow}"
        sampled: bool = sampler.should_sample(None, trace_id, name).decision.is_sampled()
        return sampled

    def _emit(
        self,
        name: str,
        fact: Fact,
        *,
        span_id: int,
        parent: TraceParent | None,
        start_ms: int,
        attributes: Mapping[str, Any],
        error: tuple[str, str] | None,
    ) -> None:
        trace = self._trace
        self._ids.next = (trace_id_of(fact.run_id), span_id)
        # An empty context, so that what runs here now is no parent of it.
        context = trace.set_span_in_context(trace.INVALID_SPAN)
        if parent is not None:
            flags = trace.TraceFlags(int(parent.sampled))
            above = trace.SpanContext(
                parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(above))
        span = self._tracer.start_span(
            name,
            context,
            attributes={
                "workflow.id": fact.workflow_id,
                "workflow.run_id": fact.run_id,
                "workflow.type": fact.workflow,
                **attributes,
            },
            start_time=start_ms * _MS_IN_NS,
        )
        end_ns = max(fact.event.time_ms, start_ms) * _MS_IN_NS
        if error is None:
            span.set_status(trace.Status(trace.StatusCode.OK))
        else:
            kind, message = error
            told = {"exception.type": kind, "exception.message": message}
            span.add_event("exception", told, timestamp=end_ns)
            text = f"{kind}: {message}" if message else kind
            span.set_status(trace.Status(trace.StatusCode.ERROR, text))
        span.end(end_ns)


def _error(failure: FailureInfo | None, otherwise: str) -> tuple[str, str]:
    return (failure.type, failure.message) if failure is not None else (otherwise or "error", "")


class _ChosenIds:
    """What the SDK takes for a generator of random IDs."""

    def __init__(self) -> None:
        self.next = (0, 0)

    def generate_trace_id(self) -> int:
        return self.next[0]

    def generate_span_id(self) -> int:
        return self.next[1]

    def is_trace_id_random(self) -> bool:
        """A hash is as good as random for whoever samples by it."""
        return True


_STATUSES: dict[type[HistoryEvent], str] = {
    WorkflowCompleted: "completed",
    WorkflowContinued: "continued",
    WorkflowFailed: "failed",
    WorkflowCancelled: "cancelled",
    WorkflowTerminated: "terminated",
    WorkflowTimedOut: "timed_out",
}
_TELLS: dict[type[HistoryEvent], Callable[[RunTracing, Fact, Any], None]] = {
    **dict.fromkeys(_STATUSES, RunTracing._run_ended),
    ActivityRetryScheduled: RunTracing._attempt_ended,
    ActivityLost: RunTracing._attempt_ended,
    ActivityCompleted: RunTracing._activity_ended,
    ActivityFailed: RunTracing._activity_ended,
    ActivityCancelled: RunTracing._activity_ended,
}
