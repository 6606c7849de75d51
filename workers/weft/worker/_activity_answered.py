"""Tasks that come again although their results are on the log.

How far a queue is done is committed a moment after the results are durable, and not beyond the first task that still
runs. When a worker dies in between, whoever has its partitions next reads those tasks again. Their results lie at the
end of the results topic, on the partition of the same number: what is found there is not run once more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from weft.codec import MalformedError, decode_results
from weft.errors import LogError
from weft.host import HOST, Host
from weft.log import Log, last
from weft.records import ActivityTask, AttemptCompleted, AttemptFailed
from weft.topics import Namespace

logger = logging.getLogger("weft.worker")

_RESULTS_MAX = 5000
"""Read of each partition: more than a second of a busy one, and a commit is never that late."""
_LOOK_TIMEOUT_S = 5.0
_KEPT_S = 30.0
"""By then every task that was read again has been looked up."""

_Key = tuple[bytes, str, int, int]


class AnsweredTasks:
    """Told of assignments, asked about tasks. Used by the thread that polls."""

    def __init__(self, log: Log, namespace: Namespace, host: Host = HOST) -> None:
        self._log = log
        self._topic = namespace.results
        self._host = host
        self._unseen: set[int] = set()
        """Partitions that were assigned and whose results have not been looked at."""
        self._answered: dict[int, set[_Key]] = {}
        self._forget_at_s = 0.0

    def assign(self, partitions: Iterable[int]) -> None:
        self._unseen.update(partitions)

    def forget(self, partitions: Iterable[int]) -> None:
        for number in partitions:
            self._unseen.discard(number)
            self._answered.pop(number, None)

    def look(self, partitions: Iterable[int]) -> None:
        """Before tasks of these partitions are begun. What cannot be read now is done without: tasks may run again."""
        if self._answered and self._host.monotonic() >= self._forget_at_s:
            self._answered.clear()
        wanted = self._unseen.intersection(partitions)
        if not wanted:
            return
        self._unseen -= wanted
        reader = self._log.reader()
        try:
            tail = dict.fromkeys(((self._topic, number) for number in wanted), last(_RESULTS_MAX))
            for record in reader.read_to_end(tail, _LOOK_TIMEOUT_S):
                try:
                    result = decode_results(record.value)
                except MalformedError:
                    continue  # the owner puts it aside
                if isinstance(result, AttemptCompleted | AttemptFailed):
                    key = (record.key or b"", result.run_id, result.activity_id, result.attempt)
                    self._answered.setdefault(record.partition, set()).add(key)
        except LogError as error:
            logger.warning(
                "%s cannot be read, so tasks whose results are on it may run again: %s",
                self._topic,
                error,
            )
        finally:
            reader.close()
        self._forget_at_s = self._host.monotonic() + _KEPT_S

    def has(self, partition: int, key: bytes, task: ActivityTask) -> bool:
        """Whether the result of this attempt is on the log."""
        answered = self._answered.get(partition)
        if not answered:
            return False
        return (key, task.run_id, task.activity_id, task.attempt) in answered
