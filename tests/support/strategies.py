"""Hypothesis strategies: any JSON value, and any record with any content that its types allow."""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from weft import records
from weft.codec import encode, join_events

Record = msgspec.Struct
Any_ = st.SearchStrategy[Any]

TOPIC_RECORDS: dict[str, tuple[type[Record], ...]] = {
    "signals": (*get_args(records.SignalsRecord), records.PlainSignal),
    "results": get_args(records.ResultsRecord),
    "messages": get_args(records.MessagesRecord),
    "queries": get_args(records.QueriesRecord),
    "state": get_args(records.StateRecord),
    "owners": (records.Claim,),
    "tasks": (records.ActivityTask,),
    "events": (records.LifecycleEvent,),
    "replies": (records.Reply,),
    "reference": (records.PayloadReference,),
    "encoded": (records.PayloadEnvelope,),
    "history": get_args(records.Event),
}
"""Every record by the kind of topic it is on, the references to stored payloads, and the history events."""

_numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values: Any_ = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=5,
)
_plain: dict[Any, Any_] = {
    str: st.text(max_size=20),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    NoneType: st.none(),
    Any: json_values,
    records.Payload: json_values.map(lambda value: records.Payload(encode(value))),
}


@cache
def records_of(cls: type[Record]) -> st.SearchStrategy[Any]:
    """Instances of one record class."""
    fields = {name: values_of(hint) for name, hint in get_type_hints(cls).items()}
    if cls is records.Head:
        fields["tail"] = event_arrays()
    elif cls is records.Page:
        fields["events"] = event_arrays()
    elif cls is records.ReplyTo:
        fields["partition"] = st.integers(0, records.REPLY_PARTITION_MAX)
    elif cls is records.UpdateWorkflow:
        fields["update"] = fields["id"] = st.text(min_size=1, max_size=20)
    elif cls is records.ResetWorkflow:
        fields["request_id"] = st.text(min_size=1, max_size=20)
    elif "signal" in fields:
        fields["signal"] = st.text(min_size=1, max_size=20)
    return st.builds(cls, **fields)


@cache
def event_arrays() -> st.SearchStrategy[Any]:
    """History events as a JSON array, the way heads and pages hold them."""
    events = st.one_of([records_of(cls) for cls in TOPIC_RECORDS["history"]])
    return st.lists(events.map(encode), max_size=3).map(join_events)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if hint in _plain:
        return _plain[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in {UnionType, Union}:
        return st.one_of([values_of(member) for member in arguments])
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=10), values_of(arguments[1]), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Record):
        return st.deferred(lambda: records_of(hint))
    raise TypeError(f"{hint} has no strategy yet: say here what its values are")
