"""Queries: what a workflow's code tells about itself, between its steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from weft.codec import decoder, encode_payload
from weft.errors import PayloadError, QueryError, UsageError, WeftError
from weft.records import NULL, PAYLOAD_BYTES_MAX, Payload


def _hint_of(parameter: str, function: Callable[..., Any], name: str) -> Any:
    """A handler stands inside of the workflow's function: so its hints may be names from there."""
    try:
        return get_type_hints(
            function, localns=dict(inspect.getclosurevars(function).nonlocals)
        ).get(parameter, Any)
    except NameError as error:
        raise UsageError(
            f"the hints of the handler of query {name!r} cannot be read: {error}"
        ) from None


class QueryHandler:
    """A function of the workflow's code that answers one query: called without a value, or with one of its hint."""

    __slots__ = ("_decode", "_function", "_name")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        """Raises UsageError for what cannot answer at once, or takes more than one value."""
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(
                f"the handler of query {name!r} is a coroutine function; a query is answered at once, by a plain one"
            )
        parameters = list(inspect.signature(function).parameters.values())
        if len(parameters) > 1:
            raise UsageError(
                f"the handler of query {name!r} takes {len(parameters)} values; a query has one at most"
            )
        self._name = name
        self._function = function
        self._decode: Callable[[Payload], Any] | None = None
        if parameters:
            self._decode = decoder(_hint_of(parameters[0].name, function, name))

    def answer(self, payload: Payload) -> Payload:
        """Raises QueryError for a value or an answer that cannot be, and whatever the handler raises."""
        if self._decode is None:
            if payload != NULL:
                raise QueryError(f"query {self._name!r} takes no value")
            told = self._function()
        else:
            try:
                value = self._decode(payload)
            except WeftError as error:
                raise QueryError(
                    f"the value of query {self._name!r} does not fit: {error}"
                ) from None
            told = self._function(value)
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
