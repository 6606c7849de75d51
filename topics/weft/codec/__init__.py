"""Bytes on the log to records, and user data to JSON."""

from weft.codec._payload import decode_payload, decoder, encode_payload
from weft.codec._records import (
    MalformedError,
    decode_claim,
    decode_events,
    decode_messages,
    decode_queries,
    decode_reply,
    decode_results,
    decode_signals,
    decode_state,
    decode_task,
    encode,
    join_events,
)
from weft.codec._schema import JsonSchema, schemas

__all__ = [
    "JsonSchema",
    "MalformedError",
    "decode_claim",
    "decode_events",
    "decode_messages",
    "decode_payload",
    "decode_queries",
    "decode_reply",
    "decode_results",
    "decode_signals",
    "decode_state",
    "decode_task",
    "decoder",
    "encode",
    "encode_payload",
    "join_events",
    "schemas",
]
