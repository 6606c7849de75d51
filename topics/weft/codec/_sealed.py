"""Payloads that are not on the log as the user gave them: stored aside, or encoded by codecs.

Like a reference, an envelope is known by how it begins, byte for byte, and by its length; user data never begins so.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence

import msgspec

from weft.codec._errors import MalformedError
from weft.codec._stored import FIELDS, decode_reference, is_stored
from weft.records import (
    ENCODED_MARK,
    REFERENCE_BYTES_MIN,
    RESERVED_MARK,
    ActivityFailed,
    ActivityRetryScheduled,
    AttemptFailed,
    ChildDone,
    ChildFailed,
    ChildRetryScheduled,
    CodecStep,
    EncodedPayload,
    FailureInfo,
    Payload,
    PayloadEnvelope,
    Reply,
    UpdateFailed,
    WorkflowFailed,
)

Transform = Callable[[Payload], Payload]

_decode_envelope = msgspec.json.Decoder(PayloadEnvelope).decode
_encode_envelope = msgspec.json.Encoder().encode
_FAILURES = frozenset(
    {
        ActivityFailed,
        ActivityRetryScheduled,
        AttemptFailed,
        ChildDone,
        ChildFailed,
        ChildRetryScheduled,
        Reply,
        UpdateFailed,
        WorkflowFailed,
    }
)
"""Records and events with a failure in them."""


class _FailureTexts(msgspec.Struct, frozen=True):
    """What of a failure is encoded: all but the names that retry policies and callers match on."""

    message: str
    stack: str
    details: Payload


_decode_texts = msgspec.json.Decoder(_FailureTexts).decode


def is_sealed(payload: Payload) -> bool:
    """Whether this stands for a payload: a reference to it, or its encoded form."""
    return len(payload) >= REFERENCE_BYTES_MIN and bytes(payload).startswith(RESERVED_MARK)


def is_encoded(payload: Payload) -> bool:
    """Whether codecs have made this of a payload."""
    return len(payload) >= REFERENCE_BYTES_MIN and bytes(payload).startswith(ENCODED_MARK)


def encode_envelope(data: bytes, steps: Sequence[CodecStep]) -> Payload:
    """What stands on the log for bytes that codecs gave."""
    encoded = EncodedPayload(tuple(steps), base64.b64encode(data).decode())
    text = _encode_envelope(PayloadEnvelope(encoded))
    if len(text) < REFERENCE_BYTES_MIN:
        text = text[:-1] + b" " * (REFERENCE_BYTES_MIN - len(text)) + b"}"
    envelope = Payload(text)
    assert is_encoded(envelope), "an envelope is known by how it begins"
    return envelope


def decode_envelope(payload: Payload) -> tuple[tuple[CodecStep, ...], bytes]:
    """The steps that were taken, and what they gave. Raises MalformedError for what begins so and is no envelope."""
    try:
        encoded = _decode_envelope(payload).encoded
        return encoded.steps, base64.b64decode(encoded.data, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise MalformedError(f"a payload begins as an encoded one and is none: {error}") from None


def label_of(payload: Payload) -> str:
    """An encoded payload for people: `encrypted with key 2026-01`. Raises MalformedError."""
    steps, _ = decode_envelope(payload)
    keys = [step.key for step in steps if step.key]
    if keys:
        return f"encrypted with key {', '.join(keys)}"
    return f"encoded with {', '.join(step.codec for step in steps)}"


def check_sealed(record: object) -> None:
    """Raises MalformedError for a record whose payload begins as a reference or as an encoded one and is none."""
    name = FIELDS.get(type(record), "")
    payload = getattr(record, name) if name else None
    if payload is not None and is_sealed(payload):
        if is_stored(payload):
            decode_reference(payload)
        else:
            decode_envelope(payload)


def sealed_field(record: object) -> str:
    """The field of a record or an event that is not as the user gave it: a payload or a failure; empty if none is."""
    name = FIELDS.get(type(record), "")
    if name and is_sealed(getattr(record, name)):
        return name
    if type(record) in _FAILURES:
        failure: FailureInfo | None = getattr(record, "failure")  # noqa: B009  # all of these have it
        if failure is not None and is_sealed_failure(failure):
            return "failure"
    return ""


def opened(record: object, name: str, open_payload: Transform) -> object:
    """That field as the user gave it. Raises what `open_payload` raises."""
    value = getattr(record, name)
    if isinstance(value, FailureInfo):
        return open_failure(value, open_payload)
    return open_payload(value)


def is_sealed_failure(failure: FailureInfo) -> bool:
    """Whether any of its details, or of what caused it, are not as the user gave them."""
    return is_sealed(failure.details) or (
        failure.cause is not None and is_sealed_failure(failure.cause)
    )


def seal_failure(failure: FailureInfo, encode: Transform, *, texts: bool) -> FailureInfo:
    """The failure with its details encoded and, with `texts`, its message and stack, and those of what caused it.

    It is for code as well as for people: the type's name stays, and the message says that there is more.
    """
    if not failure.sealed:
        if texts:
            parts = _FailureTexts(failure.message, failure.stack, failure.details)
            details = encode(Payload(_encode_envelope(parts)))
            if is_encoded(details):
                label = f"({label_of(details)})"
                failure = msgspec.structs.replace(
                    failure, message=label, stack="", details=details, sealed=True
                )
        else:
            failure = msgspec.structs.replace(failure, details=encode(failure.details))
    if failure.cause is not None:
        cause = seal_failure(failure.cause, encode, texts=texts)
        failure = msgspec.structs.replace(failure, cause=cause)
    return failure


def open_failure(failure: FailureInfo, open_payload: Transform) -> FailureInfo:
    """The failure as it was before it was sealed. Raises what `open_payload` raises."""
    if is_sealed(failure.details):
        details = open_payload(failure.details)
        # Whoever could not open it gave it back as it is.
        if failure.sealed and not is_sealed(details):
            texts = _decode_texts(details)
            failure = msgspec.structs.replace(
                failure,
                message=texts.message,
                stack=texts.stack,
                details=texts.details,
                sealed=False,
            )
        else:
            failure = msgspec.structs.replace(failure, details=details)
    if failure.cause is not None:
        cause = open_failure(failure.cause, open_payload)
        failure = msgspec.structs.replace(failure, cause=cause)
    return failure
