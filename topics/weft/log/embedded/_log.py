"""The open log, and the objects that are made from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from weft.log._api import (
    Admin,
    AssignmentListener,
    GroupConsumer,
    Producer,
    Reader,
    TransactionalProducer,
)
from weft.log.embedded._admin import EmbeddedAdmin
from weft.log.embedded._catalogue import Catalogue
from weft.log.embedded._compaction import compact
from weft.log.embedded._database import Database, Shared
from weft.log.embedded._group import EmbeddedGroupConsumer, companion_topics
from weft.log.embedded._membership import Membership
from weft.log.embedded._opening import check_pages, prepare_file
from weft.log.embedded._producer import EmbeddedProducer
from weft.log.embedded._reader import EmbeddedReader
from weft.log.embedded._transaction import EmbeddedTransactionalProducer

BUSY_TIMEOUT_S = 5.0
TOMBSTONE_DELAY_S = 24 * 3600.0
DIRTY_RATIO_MIN = 0.5
PAYLOADS_SUFFIX = ".payloads"
"""Of the folder beside the file."""


class EmbeddedLog:
    """Implements `weft.log.Log` on one file. Any thread may use it, and one at a time what it makes."""

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._pages_checked = prepare_file(path, busy_timeout_s)
        self._shared = Shared(path, busy_timeout_s)
        self._catalogue = Catalogue(self._shared)
        self.name = self._shared.name
        self.payload_store: str | None = f"{path}{PAYLOADS_SUFFIX}"

    def admin(self) -> Admin:
        return EmbeddedAdmin(self._shared, self._catalogue)

    def producer(self, *, gather_s: float = 0.0) -> Producer:
        """Records are gathered while the file is written, so `gather_s` makes no difference."""
        return EmbeddedProducer(self._shared, self._catalogue)

    def transactional_producer(self, transactional_id: str) -> TransactionalProducer:
        return EmbeddedTransactionalProducer(self._shared, self._catalogue, transactional_id)

    def group_consumer(
        self,
        group: str,
        topics: Sequence[str],
        listener: AssignmentListener,
        *,
        instance_id: str | None = None,
        session_timeout_s: float = 6.0,
    ) -> GroupConsumer:
        """A dead process's member is replaced at once; a static one keeps its partitions for the session timeout."""
        found = companion_topics(self._catalogue, group, topics)
        database = Database(self._shared)
        try:
            membership = Membership(database, group, found[0], instance_id, session_timeout_s)
            return EmbeddedGroupConsumer(self._shared, self._catalogue, membership, found, listener)
        except BaseException:
            database.close()
            raise

    def reader(self, *, committed: bool = True) -> Reader:
        """Nothing in the file is ever undecided, so `committed` makes no difference."""
        return EmbeddedReader(self._shared, self._catalogue)

    def compact(
        self,
        *,
        tombstone_delay_s: float = TOMBSTONE_DELAY_S,
        dirty_ratio_min: float = DIRTY_RATIO_MIN,
    ) -> int:
        """Clean the file now; returns how many records were removed.

        Nothing runs by itself: whoever keeps the log open for long calls this now and then, from a thread of its
        own, since it reads what it cleans. Writers are held up for milliseconds at a time, and two calls at once do
        no harm. The first call also looks through all pages of a file that was too large for that when it was opened;
        raises `LogError` when one is damaged.
        """
        database = Database(self._shared)
        try:
            if not self._pages_checked:
                check_pages(database.query, self._shared.path)
                self._pages_checked = True
            return compact(
                database, tombstone_delay_s=tombstone_delay_s, dirty_ratio_min=dirty_ratio_min
            )
        finally:
            database.close()

    def close(self) -> None:
        self._catalogue.close()


def open_embedded(
    path: str | os.PathLike[str], *, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> EmbeddedLog:
    """Open the log in this file, which is made if there is none.

    Raises `UsageError` for a file that is not a log of Weft, is of another version, or cannot be opened; `LogError`
    for one that is damaged or read-only; `LogUnavailableError` when it stays locked for `busy_timeout_s`, or the disk
    is full.
    """
    return EmbeddedLog(Path(path).resolve(), busy_timeout_s=busy_timeout_s)
