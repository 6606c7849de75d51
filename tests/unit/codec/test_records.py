"""Records to bytes and back, and what is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.strategies import TOPIC_RECORDS, Record, records_of
from weft import codec
from weft.codec import MalformedError
from weft.records import NULL, Payload, PlainSignal, SignalWorkflow

DECODERS: dict[str, Callable[[bytes | Payload | None], Any]] = {
    "signals": codec.decode_signals,
    "results": codec.decode_results,
    "messages": codec.decode_messages,
    "queries": codec.decode_queries,
    "state": codec.decode_state,
    "owners": codec.decode_claim,
    "tasks": codec.decode_task,
    "replies": codec.decode_reply,
}
EXAMPLES = 30
CASES = [
    (kind, cls) for kind, classes in TOPIC_RECORDS.items() for cls in classes if kind in DECODERS
]


def as_read(record: Any) -> Any:
    """What a reader is given for this record: a plain signal comes out as the full one."""
    if isinstance(record, PlainSignal):
        return SignalWorkflow(record.signal, record.payload, record.id)
    return record


@pytest.mark.parametrize("kind,cls", CASES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_record_comes_back_as_it_was(kind: str, cls: type[Record], data: st.DataObject) -> None:
    record = data.draw(records_of(cls))
    assert DECODERS[kind](codec.encode(record)) == as_read(record)


@given(st.lists(st.one_of([records_of(cls) for cls in TOPIC_RECORDS["history"]]), max_size=4))
def test_history_events_come_back_as_they_were(events: list[Any]) -> None:
    joined = codec.join_events([codec.encode(event) for event in events])
    assert codec.decode_events(joined) == events


@pytest.mark.parametrize("kind,cls", CASES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_record_of_version_1_needs_no_version_and_one_of_version_2_is_refused(
    kind: str, cls: type[Record], data: st.DataObject
) -> None:
    record = data.draw(records_of(cls))
    fields = msgspec.json.decode(codec.encode(record))
    fields.pop("v", None)
    assert DECODERS[kind](msgspec.json.encode(fields)) == as_read(record)
    with pytest.raises(MalformedError, match=r"`\$\.v`"):
        DECODERS[kind](msgspec.json.encode(fields | {"v": 2}))


@pytest.mark.parametrize("kind,cls", CASES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_field_that_a_later_minor_version_adds_is_passed_over(
    kind: str, cls: type[Record], data: st.DataObject
) -> None:
    record = data.draw(records_of(cls))
    fields = msgspec.json.decode(codec.encode(record))
    assert DECODERS[kind](msgspec.json.encode(fields | {"added_later": 1})) == as_read(record)


def test_payload_is_carried_as_the_bytes_it_came_in() -> None:
    value = b'{"signal":"a","payload": { "b" : 1.50,"a":1e2 } }'
    record = codec.decode_signals(value)
    assert isinstance(record, SignalWorkflow)
    assert bytes(record.payload) == b'{ "b" : 1.50,"a":1e2 }'
    assert b'"payload":{ "b" : 1.50,"a":1e2 }' in codec.encode(record)


def test_plain_signal_needs_its_name_only() -> None:
    assert codec.decode_signals(b'{"signal": "approval"}') == SignalWorkflow("approval", NULL)


@pytest.mark.parametrize(
    "value,reason",
    [
        (None, "the record has no value"),
        (b"", "Input data was truncated"),
        (b"approve!", "JSON is malformed"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `signal`"),
        (b'{"signal": 7}', r"Expected `str`, got `int` - at `\$\.signal`"),
        (b'{"signal": ""}', r"Expected a signal name, got an empty string - at `\$\.signal`"),
        (b'{"kind": "signal", "signal": ""}', "Expected a signal name"),
        (b'{"signal": "a", "payload": "\xff"}', "can't decode byte 0xff"),
        (b'{"kind": "strat"}', r"Invalid value 'strat' - at `\$\.kind`"),
        (b'{"kind": "start", "workflow": "w"}', "missing required field `request_id`"),
        (
            b'{"kind": "start", "workflow": "w", "request_id": "r", "on_conflict": "no"}',
            r"Invalid enum value 'no' - at `\$\.on_conflict`",
        ),
        (b'{"signal": "a", "payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
    ],
)
def test_malformed_signal_is_refused_with_the_field(value: bytes | None, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        codec.decode_signals(value)


@pytest.mark.parametrize("kind", DECODERS)
@settings(max_examples=EXAMPLES)
@given(value=st.binary(max_size=30) | st.from_regex(rb'\A\{"[a-z]{1,4}": ?[0-9"\[\{]{1,4}\}?\Z'))
def test_any_bytes_are_a_record_or_malformed(kind: str, value: bytes) -> None:
    """No other error may come out: it would stop the partition that the record is on."""
    with contextlib.suppress(MalformedError):
        DECODERS[kind](value)


def test_result_is_refused_when_its_text_is_not_utf8() -> None:
    """It would get into the history and make every head that carries it unreadable."""
    record = b'{"kind":"completed","run_id":"r","activity_id":1,"attempt":1,"result":"\xff"}'
    with pytest.raises(MalformedError, match="utf-8"):
        codec.decode_results(record)


@pytest.mark.parametrize("partition", [-7, 10**22, 100_001])
def test_request_is_refused_when_its_reply_would_go_nowhere(partition: int) -> None:
    reply_to = f'{{"client":"c","request":"r","partition":{partition}}}'
    with pytest.raises(MalformedError, match="partition"):
        codec.decode_signals(f'{{"kind":"cancel","reply_to":{reply_to}}}'.encode())
