"""Payloads that are too large for a record: stored aside in a folder or any fsspec store, fetched where they are read.

On the log stands a reference, written after the payload is durable: a crash in between leaves a payload that nobody
refers to, never a reference to nothing. Layout, lifecycle and limits: docs/payloads.md.
"""

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
    "PAYLOAD_BYTES_MIN",
    "STORED_BYTES_MAX",
    "PayloadStore",
    "Payloads",
    "StoreOption",
    "StoredObject",
    "scope_name",
    "scope_of",
]
