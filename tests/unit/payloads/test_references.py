"""What stands on the log instead of a large payload, and what can never be taken for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import json_values
from weft.codec import (
    MalformedError,
    decode_payload,
    decode_reference,
    decode_results,
    decode_signals,
    encode,
    encode_payload,
    encode_reference,
    is_stored,
    references_in,
)
from weft.records import (
    STORED_MARK,
    ActivityCompleted,
    ActivityScheduled,
    AttemptCompleted,
    Payload,
    RecordDeferred,
    SignalReceived,
    SignalWorkflow,
    StartWorkflow,
    StoredPayload,
)

STORED = StoredPayload("shop/order-42-1/run-1/" + "a" * 64 + ".json", "a" * 64, 5_000_000)
REFERENCE = encode_reference(STORED)
LOOKALIKE = json.loads(bytes(REFERENCE))


def colliding(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """JSON values in the shape of references, or close to it."""
    return st.one_of(
        st.just(LOOKALIKE),
        st.builds(lambda value: {"$weft.stored": value}, values),
        st.builds(lambda value, more: {"$weft.stored": value, "more": more}, values, values),
        st.builds(lambda value: [{"$weft.stored": value}], values),
    )


def test_reference_says_where_the_payload_lies() -> None:
    assert is_stored(REFERENCE)
    assert decode_reference(REFERENCE) == STORED
    assert json.loads(bytes(REFERENCE)) == {
        "$weft.stored": {"key": STORED.key, "sha256": "a" * 64, "bytes": 5_000_000, "v": 1}
    }


@given(st.one_of(json_values, colliding(json_values)))
def test_user_data_is_never_taken_for_a_reference(value: Any) -> None:
    payload = encode_payload(value)
    assert not is_stored(payload)
    assert decode_payload(payload) == value
    assert json.loads(bytes(payload)) == value


def test_user_data_in_the_shape_of_a_reference_stays_user_data_on_the_log() -> None:
    record = SignalWorkflow("line", encode_payload(LOOKALIKE))
    again = decode_signals(encode(record))
    assert again == record
    assert isinstance(again, SignalWorkflow)
    assert not is_stored(again.payload)


def test_plain_producers_payload_is_user_data_whatever_it_looks_like() -> None:
    value = b'{"signal":"line","payload":' + bytes(REFERENCE) + b"}"
    record = decode_signals(value)
    assert isinstance(record, SignalWorkflow)
    assert not is_stored(record.payload)
    assert decode_payload(record.payload) == LOOKALIKE


def test_reference_in_a_record_of_ours_stays_one() -> None:
    for record in (SignalWorkflow("line", REFERENCE), StartWorkflow("fulfil", "r-1", REFERENCE)):
        assert decode_signals(encode(record)) == record
    result = AttemptCompleted("run-1", 1, 1, REFERENCE)
    assert decode_results(encode(result)) == result


@pytest.mark.parametrize(
    "payload",
    [
        STORED_MARK + b'"' + b"7" * 200 + b'"}',
        STORED_MARK + b'{"key":"' + b"a" * 200 + b'"}}',
        bytes(REFERENCE).replace(b'"v":1', b'"v":2'),
    ],
)
def test_record_whose_payload_begins_as_a_reference_and_is_none_is_malformed(
    payload: bytes,
) -> None:
    records = [
        encode(SignalWorkflow("line", Payload(payload))),
        encode(StartWorkflow("fulfil", "r-1", Payload(payload))),
    ]
    for record in records:
        with pytest.raises(MalformedError, match="begins as a reference"):
            decode_signals(record)
    with pytest.raises(MalformedError, match="begins as a reference"):
        decode_results(encode(AttemptCompleted("run-1", 1, 1, Payload(payload))))


def test_references_are_found_in_every_event_that_has_a_payload() -> None:
    deferred = Payload(encode(SignalWorkflow("line", REFERENCE)))
    plain = encode_payload(LOOKALIKE)
    assert [
        list(references_in(event))
        for event in (
            ActivityScheduled(1, 1, 1, "step", REFERENCE),
            ActivityCompleted(2, 1, 1, "step", 1, REFERENCE),
            SignalReceived(3, 1, "line", REFERENCE),
            RecordDeferred(4, 1, "signals", deferred),
            SignalReceived(5, 1, "line", plain),
        )
    ] == [
        [STORED],
        [STORED],
        [STORED],
        [STORED],
        [],
    ]
