"""Stores of workflow states for executors: `from weft.stores import SqliteStore`.

`InMemoryStore` for tests, `SqliteStore` for one machine, `KafkaStore` for a compacted topic. They keep states as JSON
and give out what that says, so a workflow sees the same from each of them. Whoever writes one of his own proves it
with `weft.testing.StoreContract`.
"""

from weft.stores._inmemory import InMemoryStore
from weft.stores._kafka import KafkaStore, KafkaStoreConfig, Message, Reader, Writer
from weft.stores._sqlite import SqliteStore

__all__ = [
    "InMemoryStore",
    "KafkaStore",
    "KafkaStoreConfig",
    "Message",
    "Reader",
    "SqliteStore",
    "Writer",
]
