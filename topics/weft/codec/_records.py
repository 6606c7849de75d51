"""Records to bytes and back. One decode checks the whole shape; payloads stay the bytes they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from weft.codec._errors import MalformedError
from weft.codec._sealed import check_sealed
from weft.codec._stored import as_user_data
from weft.records import (
    REFERENCE_BYTES_MIN,
    ActivityTask,
    Claim,
    Event,
    Head,
    MessagesRecord,
    Payload,
    PlainSignal,
    QueriesRecord,
    Reply,
    ResultsRecord,
    SignalsRecord,
    SignalWorkflow,
    StateRecord,
)

T = TypeVar("T")


def _decoder(
    decode: Callable[[bytes], T], check: Callable[[T], None] | None = None
) -> Callable[[bytes | Payload | None], T]:
    def decode_or_refuse(value: bytes | Payload | None) -> T:
        if value is None:
            raise MalformedError("the record has no value")
        try:
            decoded = decode(value)
            # Payloads are skipped, not read: text that is not UTF-8 must not get into a history through them.
            bytes(value).decode()
            if check is not None and len(value) >= REFERENCE_BYTES_MIN:
                check(decoded)
            return decoded
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(str(error)) from None

    return decode_or_refuse


_decode_signals = msgspec.json.Decoder(SignalsRecord).decode
_decode_plain_signal = msgspec.json.Decoder(PlainSignal).decode


def _signals(value: bytes) -> SignalsRecord:
    record: SignalsRecord
    try:
        record = _decode_signals(value)
    except msgspec.ValidationError as error:
        if "missing required field `kind`" not in str(error):
            raise
        plain = _decode_plain_signal(value)
        payload = Payload(as_user_data(bytes(plain.payload)))
        record = SignalWorkflow(signal=plain.signal, payload=payload, id=plain.id)
    if isinstance(record, SignalWorkflow) and not record.signal:
        raise msgspec.ValidationError("Expected a signal name, got an empty string - at `$.signal`")
    return record


decode_signals = _decoder(_signals, check_sealed)
"""A record of `ns.signals`; a plain signal comes out as `SignalWorkflow`. Raises MalformedError."""
decode_results = _decoder(msgspec.json.Decoder(ResultsRecord).decode, check_sealed)
decode_messages = _decoder(msgspec.json.Decoder(MessagesRecord).decode, check_sealed)
decode_queries = _decoder(msgspec.json.Decoder(QueriesRecord).decode)
decode_head = _decoder(msgspec.json.Decoder(Head).decode)
decode_state = _decoder(msgspec.json.Decoder(StateRecord).decode)
decode_claim = _decoder(msgspec.json.Decoder(Claim).decode)
decode_task = _decoder(msgspec.json.Decoder(ActivityTask).decode)
decode_reply = _decoder(msgspec.json.Decoder(Reply).decode)
decode_events = _decoder(msgspec.json.Decoder(list[Event]).decode)
"""A JSON array of history events, oldest first."""

encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
"""Any record or event to its JSON."""


def join_events(events: Sequence[bytes]) -> Payload:
    """Encoded events as one JSON array, without decoding them."""
    return Payload(b"[" + b",".join(events) + b"]")
