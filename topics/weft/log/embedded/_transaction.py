"""The transactional producer: all is kept in memory until `commit` writes it in one transaction of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from weft.errors import (
    CommitUnknownError,
    FencedError,
    LogFullError,
    LogUnavailableError,
    TopicError,
    UsageError,
)
from weft.log._api import GroupMember, Headers, OffsetCallback, TopicPartition
from weft.log.embedded._append import PendingRecord, append_records, store_offsets
from weft.log.embedded._catalogue import Catalogue, check_record, encoded_headers
from weft.log.embedded._database import Database, Shared

_TAKE_ID = (
    "INSERT INTO producers (transactional_id, epoch) VALUES (?, 1) "
    "ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch"
)


@dataclass(frozen=True, slots=True)
class EmbeddedMember:
    """Proof of a membership: these partitions, each owned since this epoch of it."""

    group: str
    group_id: int
    lead_topic_id: int
    member_id: int
    epoch_by_partition: Mapping[int, int]


def check_ownership(
    database: Database, member: EmbeddedMember, offsets: Mapping[TopicPartition, int]
) -> None:
    """Within a write transaction: `FencedError` unless the member still owns each partition at its proof's epoch."""
    rows = database.execute(
        "SELECT partition, epoch FROM owners WHERE group_id = ? AND topic_id = ? AND owner = ?",
        (member.group_id, member.lead_topic_id, member.member_id),
    ).fetchall()
    present: dict[int, int] = dict(rows)
    proven = member.epoch_by_partition
    for topic, partition in offsets:
        epoch = present.get(partition)
        if epoch is None or epoch != proven.get(partition):
            raise FencedError(
                f"Partition {partition} ({topic}) of group {member.group} is no longer this "
                "member's. Another member took it over; nothing of this commit was written. "
                "Forget what is in memory for it: the new owner goes on."
            )


class EmbeddedTransactionalProducer:
    """Implements `weft.log.TransactionalProducer`. The file has nothing before `commit`: an abort only forgets."""

    def __init__(self, shared: Shared, catalogue: Catalogue, transactional_id: str) -> None:
        self.transactional_id = transactional_id
        self._shared = shared
        self._catalogue = catalogue
        self._database = Database(shared)
        self._epoch: int | None = None
        self._open = False
        self._records_by_partition: dict[int, list[PendingRecord]] = {}
        self._topics: set[str] = set()
        self._offsets: list[tuple[EmbeddedMember, dict[TopicPartition, int]]] = []
        self._on_offset: list[tuple[int, int, OffsetCallback]] = []
        """(partition ID, position among its records, whom to tell)"""

    def fence(self, timeout_s: float) -> None:
        with self._database.write(timeout_s):
            self._epoch = self._database.execute(_TAKE_ID, (self.transactional_id,)).fetchall()[0][
                0
            ]
        self._forget()

    def begin(self) -> None:
        if self._epoch is None:
            raise UsageError(
                f"Transactional producer {self.transactional_id} must call fence() before its "
                "first begin()."
            )
        if self._open:
            raise UsageError(
                f"Transactional producer {self.transactional_id} has a transaction open already."
            )
        self._open = True

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_offset: OffsetCallback | None = None,
    ) -> None:
        self._check_open()
        found = self._catalogue.topic(topic)
        encoded = encoded_headers(headers)
        check_record(found, key, value, encoded)
        partition_id = found.partition_id(partition)
        records = self._records_by_partition.get(partition_id)
        if records is None:
            records = self._records_by_partition[partition_id] = []
            self._topics.add(topic)
        records.append((key, encoded, value))
        if on_offset is not None:
            self._on_offset.append((partition_id, len(records) - 1, on_offset))

    def send_offsets(self, next_offsets: Mapping[TopicPartition, int], member: GroupMember) -> None:
        """The proof is checked by `commit`, which is where it counts."""
        self._check_open()
        if not isinstance(member, EmbeddedMember):
            raise UsageError("send_offsets needs the member() of a group consumer of the same log.")
        self._offsets.append((member, dict(next_offsets)))

    def commit(self, timeout_s: float) -> None:
        """After a `FencedError` or `LogFullError`, `abort` ends the transaction; nothing of it was written."""
        self._check_open()
        if self._records_by_partition or self._offsets:
            try:
                with self._database.write(timeout_s):
                    first_offsets = self._write()
            except LogFullError:
                raise
            except LogUnavailableError as error:
                raise CommitUnknownError(
                    f"Transaction of {self.transactional_id} not committed. {error}"
                ) from error
            self._shared.commits.notify()
            for partition_id, position, on_offset in self._on_offset:
                on_offset(first_offsets[partition_id] + position)
        self._forget()

    def _write(self) -> dict[int, int]:
        """Returns each partition's first new offset."""
        self._check_epoch()
        for member, next_offsets in self._offsets:
            check_ownership(self._database, member, next_offsets)
        written = append_records(self._database, self._records_by_partition)
        if len(written) != len(self._records_by_partition):
            self._raise_topic_gone()
        for member, next_offsets in self._offsets:
            pairs = [
                (self._catalogue.topic(topic).partition_id(partition), next_offset)
                for (topic, partition), next_offset in next_offsets.items()
            ]
            store_offsets(self._database, member.group_id, pairs)
        return written

    def _check_epoch(self) -> None:
        rows = self._database.execute(
            "SELECT epoch FROM producers WHERE transactional_id = ?", (self.transactional_id,)
        ).fetchall()
        if not rows or rows[0][0] != self._epoch:
            raise FencedError(
                f"Transactional ID {self.transactional_id} was taken over by another producer of "
                f"{self._shared.name}; nothing of this commit was written. Close this producer: its "
                "partitions are, or soon will be, somebody else's."
            )

    def _raise_topic_gone(self) -> NoReturn:
        for topic in self._topics:
            self._catalogue.forget(topic)
        raise TopicError(
            f"A topic among {', '.join(sorted(self._topics))} was deleted from {self._shared.name} while "
            "a transaction wrote to it; nothing of the transaction was written. Make the topics "
            "again (`weft topics create`) and start again."
        )

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError(
                f"Transactional producer {self.transactional_id} has no open transaction; call "
                "begin() first."
            )

    def abort(self, timeout_s: float) -> None:
        self._forget()

    def _forget(self) -> None:
        self._open = False
        self._records_by_partition = {}
        self._topics = set()
        self._offsets = []
        self._on_offset = []

    def close(self) -> None:
        self._forget()
        self._database.close()
