"""What becomes of payloads on their way to the log: codecs compress and encrypt them, and the store takes large ones.

On the log stands a reference, written after the payload is durable: a crash in between leaves a payload that nobody
refers to, never a reference to nothing. Layout, lifecycle and limits: docs/payloads.md.
"""

from weft.payloads._codec import (
    CodecsOption,
    PayloadCodec,
    PayloadCodecs,
    PayloadContext,
    text_of,
    to_codecs,
)
from weft.payloads._compression import COMPRESS_ABOVE_BYTES, Compression
from weft.payloads._encryption import Encryption, new_key
from weft.payloads._files import StoredObject
from weft.payloads._keys import scope_name, scope_of
from weft.payloads._payloads import (
    CACHE_BYTES_MAX,
    PAYLOAD_BYTES_MIN,
    STORED_BYTES_MAX,
    Payloads,
    StoreOption,
)
from weft.payloads._store import PayloadStore

__all__ = [
    "CACHE_BYTES_MAX",
    "COMPRESS_ABOVE_BYTES",
    "PAYLOAD_BYTES_MIN",
    "STORED_BYTES_MAX",
    "CodecsOption",
    "Compression",
    "Encryption",
    "PayloadCodec",
    "PayloadCodecs",
    "PayloadContext",
    "PayloadStore",
    "Payloads",
    "StoreOption",
    "StoredObject",
    "new_key",
    "scope_name",
    "scope_of",
    "text_of",
    "to_codecs",
]
