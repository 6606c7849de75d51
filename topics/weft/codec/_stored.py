"""Payloads that lie in the payload store: their references, and how user data is told from them.

A payload is a reference when it begins with `STORED_MARK`, byte for byte, and is not shorter than any reference. User
data that begins so gets a space after its brace when it is encoded (and when it comes from a plain producer): the same
JSON value in another spelling, so nothing has to be undone when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from weft.codec._errors import MalformedError
from weft.records import (
    NULL,
    REFERENCE_BYTES_MIN,
    RESERVED_MARK,
    STORED_MARK,
    ActivityCompleted,
    ActivityScheduled,
    AttemptCompleted,
    ChildCompleted,
    ChildDone,
    ChildScheduled,
    Payload,
    PayloadReference,
    RecordDeferred,
    SignalFrom,
    SignalReceived,
    SignalSent,
    SignalWorkflow,
    StartChild,
    StartWorkflow,
    StoredPayload,
    UpdateAccepted,
    UpdateCompleted,
    UpdateWorkflow,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowStarted,
)

_decode_reference = msgspec.json.Decoder(PayloadReference).decode
_encode_reference = msgspec.json.Encoder().encode
FIELDS: dict[type, str] = {
    StartWorkflow: "input",
    SignalWorkflow: "payload",
    AttemptCompleted: "result",
    WorkflowStarted: "input",
    ActivityScheduled: "input",
    ActivityCompleted: "result",
    SignalReceived: "payload",
    ChildScheduled: "input",
    ChildCompleted: "result",
    SignalSent: "payload",
    StartChild: "input",
    ChildDone: "result",
    SignalFrom: "payload",
    UpdateWorkflow: "payload",
    UpdateAccepted: "payload",
    UpdateCompleted: "result",
    WorkflowCompleted: "result",
    WorkflowContinued: "input",
}
"""The field of a record or an event that holds user data which may lie in the store."""


def is_stored(payload: Payload) -> bool:
    """Whether this is a reference, and the payload itself lies in the store."""
    return len(payload) >= REFERENCE_BYTES_MIN and bytes(payload).startswith(STORED_MARK)


def decode_reference(payload: Payload) -> StoredPayload:
    """Where the payload lies. Raises MalformedError for what begins as a reference and is none."""
    try:
        return _decode_reference(payload).stored
    except msgspec.DecodeError as error:
        raise MalformedError(
            f"a payload begins as a reference to the store and is none: {error}"
        ) from None


def encode_reference(stored: StoredPayload) -> Payload:
    """What stands on the log instead of the payload."""
    data = _encode_reference(PayloadReference(stored))
    reference = Payload(data)
    assert is_stored(reference), "a reference is known by how it begins"
    return reference


def as_user_data(data: bytes) -> bytes:
    """User data in a spelling that is never taken for a reference, nor for an encoded payload."""
    return b"{ " + data[1:] if data.startswith(RESERVED_MARK) else data


def stored_field(record: object) -> str:
    """The field of a record or an event that is a reference; empty when there is none, which is cheap to tell."""
    name = FIELDS.get(type(record), "")
    return name if name and is_stored(getattr(record, name)) else ""


class _Payloads(msgspec.Struct, gc=False):
    """The payloads of any record that may be deferred."""

    input: Payload = NULL
    result: Payload = NULL
    payload: Payload = NULL


_decode_payloads = msgspec.json.Decoder(_Payloads).decode


def references_in(event: object) -> Iterator[StoredPayload]:
    """Where the payloads of an event or a record lie, or those of the record in it, that lie in the store."""
    if isinstance(event, RecordDeferred):
        payloads = _decode_payloads(event.record)
        for payload in (payloads.input, payloads.result, payloads.payload):
            if is_stored(payload):
                yield decode_reference(payload)
    elif name := stored_field(event):
        yield decode_reference(getattr(event, name))
