"""A tracer whose spans can be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanContext


class Shown(NamedTuple):
    """A span by its names: what a reader of a trace sees."""

    name: str
    parent: str
    status: str


class Spans:
    def __init__(self, sampler: Sampler | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(
            sampler=sampler or ParentBased(ALWAYS_ON), shutdown_on_exit=False
        )
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def all(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self.all if span.name == name)
        return found

    def tree(self) -> list[Shown]:
        """Every span below which other, in the order of their ends. Fails when an ID stands twice."""
        names = {context_of(span).span_id: span.name for span in self.all}
        assert len(names) == len(self.all), "every span was emitted once"
        return [
            Shown(
                span.name,
                names.get(span.parent.span_id, "?") if span.parent else "",
                span.status.status_code.name,
            )
            for span in self.all
        ]

    def trace_ids(self) -> set[int]:
        return {context_of(span).trace_id for span in self.all}


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context
