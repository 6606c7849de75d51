"""Bytes on the log to records, and user data to JSON."""

from weft.codec._errors import MalformedError
from weft.codec._function_hints import FunctionHints
from weft.codec._payload import (
    decode_payload,
    decoder,
    encode_by_hint,
    encode_checked,
    encode_payload,
    is_loose,
    refuse_sets,
)
from weft.codec._records import (
    decode_claim,
    decode_events,
    decode_head,
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
from weft.codec._refusals import shorten
from weft.codec._schema import JsonSchema, schemas
from weft.codec._stored import (
    as_user_data,
    decode_reference,
    encode_reference,
    is_stored,
    references_in,
    stored_field,
)

__all__ = [
    "FunctionHints",
    "JsonSchema",
    "MalformedError",
    "as_user_data",
    "decode_claim",
    "decode_events",
    "decode_head",
    "decode_messages",
    "decode_payload",
    "decode_queries",
    "decode_reference",
    "decode_reply",
    "decode_results",
    "decode_signals",
    "decode_state",
    "decode_task",
    "decoder",
    "encode",
    "encode_by_hint",
    "encode_checked",
    "encode_payload",
    "encode_reference",
    "is_loose",
    "is_stored",
    "join_events",
    "references_in",
    "refuse_sets",
    "schemas",
    "shorten",
    "stored_field",
]
