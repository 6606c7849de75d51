"""Traces of workflows with OpenTelemetry: one trace a run, with its children, however often its worker dies.

`RunTracing` is an observer of executors and workers (`Worker(..., observers=[RunTracing()])`). A start that is made
within a span carries that on: the run, its activities, what their code traces, its children and the runs that continue
it belong to the caller's trace. OpenTelemetry is imported by whoever uses it, and never here before that.
"""

from weft.tracing._context import current_traceparent, enter_attempt, trace_after, trace_below
from weft.tracing._runs import RunTracing

__all__ = ["RunTracing", "current_traceparent", "enter_attempt", "trace_after", "trace_below"]
