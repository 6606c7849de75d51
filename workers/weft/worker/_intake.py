"""Records as they come in: what each topic's mean, whose they are, and what becomes of those that nobody understands.

A record of another partition's workflow is forwarded once; a malformed one is put aside with its place and the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from weft.codec import (
    MalformedError,
    decode_messages,
    decode_queries,
    decode_results,
    decode_signals,
    encode,
)
from weft.errors import UsageError
from weft.log import LogRecord
from weft.records import ForwardedRecord, Payload
from weft.topics import Namespace, check_workflow_id, partition_of
from weft.worker._batch import Batch
from weft.worker._bounds import RECORD_BYTES_MAX, size_of
from weft.worker._cells import Cells
from weft.worker._mailbox import Mailbox
from weft.worker._queries import Queries
from weft.worker._requests import Requests
from weft.worker._results import Results


class Intake:
    """What comes in over the topics of partition `number`; others know what it means to its workflows."""

    def __init__(
        self,
        number: int,
        cells: Cells,
        *,
        namespace: Namespace,
        partition_count: int,
        requests: Requests,
        results: Results,
        mailbox: Mailbox,
        queries: Queries,
    ) -> None:
        self.record_count = 0
        self.forwarded_count = 0
        self.deadlettered: Counter[str] = Counter()
        """Records put aside, by topic."""
        self._number = number
        self._cells = cells
        self._requests = requests
        self._results = results
        self._mailbox = mailbox
        self._queries = queries
        self._namespace = namespace
        self._partition_count = partition_count
        self._handlers: dict[str, Callable[[LogRecord, Batch, int], None]] = {
            namespace.signals: self._on_signals,
            namespace.results: self._on_results,
            namespace.messages: self._on_messages,
            namespace.queries: self._on_queries,
        }

    def take(self, record: LogRecord, batch: Batch, now_ms: int) -> None:
        """One record of one of the topics. Raises nothing because of what is in it."""
        self.record_count += 1
        if record.headers or len(record.value or b"") > RECORD_BYTES_MAX:
            size_bytes = size_of(record)
            if size_bytes > RECORD_BYTES_MAX and record.topic != self._namespace.messages:
                self._put_aside(record, batch, _too_large(size_bytes))
                return
        try:
            self._handlers[record.topic](record, batch, now_ms)
        except MalformedError as error:
            self._put_aside(record, batch, str(error))

    def _on_signals(self, record: LogRecord, batch: Batch, now_ms: int) -> None:
        workflow_id = self._workflow_id(record)
        request = decode_signals(record.value)
        if not self._is_ours(workflow_id):
            self._forward(record, "signals", batch)
            return
        reason = self._requests.take(workflow_id, request, batch, now_ms)
        if reason and request.reply_to is None:
            self._put_aside(record, batch, reason)

    def _on_results(self, record: LogRecord, batch: Batch, now_ms: int) -> None:
        workflow_id = self._workflow_id(record)
        result = decode_results(record.value)
        cell = self._cells.get(workflow_id)
        if cell is not None:
            self._results.take(cell, result, batch, now_ms)
        elif self._is_ours(workflow_id):
            self._results.drop(result, "no such workflow", batch)
        else:
            self._forward(record, "results", batch)

    def _on_messages(self, record: LogRecord, batch: Batch, now_ms: int) -> None:
        workflow_id = self._workflow_id(record)
        message = decode_messages(record.value)
        if not isinstance(message, ForwardedRecord):
            if self._is_ours(workflow_id):
                self._mailbox.take(workflow_id, message, batch, now_ms)
            else:
                self._forward(record, "messages", batch)
            return
        if not self._is_ours(workflow_id):
            raise MalformedError(
                "it was forwarded to a partition that is not its workflow's either"
            )
        # From here on it is what it was before it was forwarded: who looks for it knows that place.
        record = LogRecord(
            message.topic,
            message.partition,
            message.offset,
            record.key,
            bytes(message.record),
            record.timestamp_ms,
            record.headers,
        )
        try:
            self._take_forwarded(message.source, record, batch, now_ms)
        except MalformedError as error:
            self._put_aside(record, batch, str(error))

    def _take_forwarded(self, source: str, record: LogRecord, batch: Batch, now_ms: int) -> None:
        """As what it was. Its workflow is one of ours, so it goes no further."""
        if source == "results":
            self._on_results(record, batch, now_ms)
        elif source == "queries":
            self._on_queries(record, batch, now_ms)
        elif source == "messages":
            message = decode_messages(record.value)
            if isinstance(message, ForwardedRecord):
                raise MalformedError("it was forwarded twice")
            self._mailbox.take(self._workflow_id(record), message, batch, now_ms)
        else:
            self._on_signals(record, batch, now_ms)

    def _on_queries(self, record: LogRecord, batch: Batch, _now_ms: int) -> None:
        workflow_id = self._workflow_id(record)
        query = decode_queries(record.value)
        if self._is_ours(workflow_id):
            self._queries.answer(workflow_id, query, batch)
        else:
            self._forward(record, "queries", batch)

    def _workflow_id(self, record: LogRecord) -> str:
        try:
            workflow_id = (record.key or b"").decode()
            check_workflow_id(workflow_id)
        except (UnicodeDecodeError, UsageError) as error:
            raise MalformedError(f"its key is not a workflow ID: {error}") from None
        return workflow_id

    def _is_ours(self, workflow_id: str) -> bool:
        return (
            workflow_id in self._cells
            or partition_of(workflow_id.encode(), self._partition_count) == self._number
        )

    def _forward(self, record: LogRecord, source: str, batch: Batch) -> None:
        """Other clients hash keys otherwise (librdkafka: CRC32). Moved in our transaction, so exactly once."""
        assert record.key is not None, "checked before"
        assert record.value is not None, "checked before"
        forwarded = ForwardedRecord(
            source, record.topic, record.partition, record.offset, Payload(record.value)
        )
        target = partition_of(record.key, self._partition_count)
        batch.forward(self._number, target, record.key, encode(forwarded), record.headers)
        self.forwarded_count += 1

    def _put_aside(self, record: LogRecord, batch: Batch, reason: str) -> None:
        batch.deadletter(self._number, record, reason)
        # Where a forwarded record came from is what its writer says: no name for a metric.
        known = record.topic in self._handlers
        self.deadlettered[record.topic if known else self._namespace.messages] += 1


def _too_large(size_bytes: int) -> str:
    return f"it has {size_bytes:,} bytes; {RECORD_BYTES_MAX:,} is the most that is taken up"
