"""Queries: what a workflow's code tells about itself, between its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft.codec import encode_payload
from weft.errors import PayloadError, QueryError, UsageError, WeftError
from weft.records import NULL, PAYLOAD_BYTES_MAX, Payload
from weft.workflow._handler import Handler


class QueryHandler:
    """A function of the workflow's code that answers one query: called without a value, or with one of its hint."""

    __slots__ = ("_handler", "_name")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        """Raises UsageError for what cannot answer at once, or takes more than one value."""
        self._name = name
        self._handler = Handler("query", name, function, answers_at_once=True)

    def answer(self, payload: Payload) -> Payload:
        """Raises QueryError for a value or an answer that cannot be, and whatever the handler raises."""
        if not self._handler.takes_value and payload != NULL:
            raise QueryError(f"query {self._name!r} takes no value")
        try:
            arguments = self._handler.arguments(payload)
        except WeftError as error:
            raise QueryError(f"the value of query {self._name!r} does not fit: {error}") from None
        told = self._handler.call(arguments)
        try:
            answer = encode_payload(told)
        except (UsageError, PayloadError) as error:
            raise QueryError(
                f"the answer to query {self._name!r} cannot be sent: {error}"
            ) from None
        if len(answer) > PAYLOAD_BYTES_MAX:
            raise QueryError(
                f"the answer to query {self._name!r} has {len(answer):,} bytes; {PAYLOAD_BYTES_MAX:,} is the most"
            )
        return answer


class Queries:
    """Of one run: the queries that its code answers."""

    def __init__(self) -> None:
        self._handlers: dict[str, QueryHandler] = {}

    def add(self, name: str, function: Callable[..., Any]) -> None:
        """From now on this function answers that query."""
        self._handlers[name] = QueryHandler(name, function)

    def find(self, name: str) -> QueryHandler:
        """Raises QueryError when the code answers none of that name."""
        handler = self._handlers.get(name)
        if handler is None:
            known = ", ".join(sorted(self._handlers)) or "none"
            raise QueryError(f"its code answers no query {name!r} (it answers: {known})")
        return handler
