"""The partitions that are served here, and what each batch takes of them.

First what was read, then what came of inline activities, then what is due: each has its share of the batch's room, so
that none holds up the others. What does not fit is held for the next batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from weft.host import HOST, Host
from weft.log import LogRecord
from weft.records import ActivityTask, ResultsRecord
from weft.topics import Namespace
from weft.worker._batch import AttemptKey, Batch
from weft.worker._hot_key import HotKey
from weft.worker._inline import InlineRunner
from weft.worker._memory import READ_BACK_MAX, Memory
from weft.worker._partition import Partition
from weft.worker._room import Room
from weft.workflow import Guard, leave_loop

RECORDS_MAX = 1000
"""Records of one transaction: bounds its size, its latency and what a failed commit repeats."""
INLINE_MAX = 1000
"""Results of inline activities in one transaction."""
DUE_MAX = 1000
"""Timers and retries in one transaction."""
INLINE_WAIT_S = 0.001
_FRESH_SHARE, _RECORDS_SHARE, _INLINE_SHARE = 0.2, 0.6, 0.5
"""Of a batch's room: each of what those before it leave over; the rest is for what is due."""
_IDLE_S = 0.1
_LEASE_STEP_S = 0.5
"""The most that one round of the loop takes from the leases."""
_TOGETHER_S = 0.02
"""How long inline activities without checkpoints go on within one batch: what a crash repeats of them."""
_EARLY_MAX = 32
"""Of more inline activities than these, begun by one batch, none is waited for: the commit is not held up for them."""


class Serving:
    """Used by the owner's thread alone."""

    def __init__(
        self,
        namespace: Namespace,
        *,
        inline: InlineRunner,
        guard: Guard,
        memory: Memory | None,
        put_back: Callable[[Sequence[LogRecord]], None],
        host: Host = HOST,
    ) -> None:
        """`put_back` sees to it that records are read again, whose partition is not served yet."""
        self.partitions: dict[int, Partition] = {}
        self.hot_key = HotKey(namespace.name)
        self._namespace = namespace
        self._inline = inline
        self._guard = guard
        self._memory = memory
        self._put_back = put_back
        self._host = host
        self._fresh: list[Partition] = []
        self._held: deque[LogRecord] = deque()
        """Read, and left over by the last batch, which was full. Gone with their partition."""
        self._inline_results: deque[tuple[object, str, ResultsRecord, bool]] = deque()
        self._batch_count = 0
        self._looked_s = host.monotonic()

    def begin(self, partition: Partition) -> None:
        """It is rebuilt: serve it from now on."""
        self.partitions[partition.number] = partition
        self._fresh.append(partition)

    def forget(self, numbers: Sequence[int]) -> None:
        """These are not ours any more, or their memory is not to be trusted."""
        partitions = self.partitions
        for number in numbers:
            partition = partitions.pop(number, None)
            if partition is not None:
                partition.close()
        self._fresh = [partition for partition in self._fresh if partition.number in partitions]
        self._held = deque(record for record in self._held if record.partition in partitions)

    @property
    def is_full(self) -> bool:
        """Records are held: no more are needed now."""
        return bool(self._held)

    @property
    def inline_is_open(self) -> bool:
        """Inline activities run, or have given what no batch has taken yet."""
        return bool(self._inline.running or self._inline_results)

    def wait_s(self) -> float:
        """How long the next batch may wait for records."""
        if self._fresh or self._held or self._inline_results:
            return 0.0
        wait_s = INLINE_WAIT_S if self._inline.running else _IDLE_S
        due = [due_ms for one in self.partitions.values() if (due_ms := one.next_due_ms())]
        if due:
            wait_s = min(wait_s, max(0.0, min(due) / 1000 - self._host.time()))
        return wait_s

    def take_turns(self, records: list[LogRecord]) -> Batch:
        """The next batch: of what was read now and held before, of inline activities, and of what is due."""
        batch = Batch(self._namespace)
        room = Room(batch, self._guard, self._host)
        now_ms = int(self._host.time() * 1000)
        serving = self.partitions
        room.begin_part(_FRESH_SHARE)
        self._fresh = [
            partition
            for partition in self._fresh
            if not partition.resume_blocked(batch, now_ms, room)
        ]
        served = [record for record in records if record.partition in serving]
        if len(served) < len(records):
            self._put_back([record for record in records if record.partition not in serving])
        self._held.extend(served)
        room.begin_part(_RECORDS_SHARE)
        self._handle(batch, now_ms, room)
        begun_count = self._begin_early(batch)
        room.begin_part(_INLINE_SHARE)
        begun_count += self._handle_inline(batch, now_ms, room)
        room.begin_part(1.0)
        self._fire_due(batch, now_ms, room)
        passed_s = self._lease_time(len(records))
        for partition in serving.values():
            partition.watch_leases(batch, now_ms, passed_s, room)
        self._follow_inline(batch, room, begun_count)
        for partition in serving.values():
            partition.flush(batch)
        if self._guard.has_thread:
            leave_loop()
        return batch

    def _follow_inline(self, batch: Batch, room: Room, begun_count: int) -> None:
        """Take into this batch what soon comes of the inline activities that it has begun, unless they are many.

        One step of a run mostly; of those that need no checkpoint, as many as there is time for.
        """
        deadline_s = self._host.monotonic() + _TOGETHER_S
        while (
            0 < begun_count <= _EARLY_MAX and room.is_left and self._host.monotonic() < deadline_s
        ):
            self._inline.wait(INLINE_WAIT_S)
            begun_count = self._handle_inline(batch, int(self._host.time() * 1000), room)

    def _begin_early(self, batch: Batch) -> int:
        """Begin the inline activities that follow from records alone; returns how many.

        These are on the log, so the activities may run before their own scheduling is. What follows from the result of
        an inline activity waits for the commit that makes that result durable.
        """
        early, batch.inline = batch.inline, []
        self.submit(early)
        return len(early)

    def submit(self, inline: Sequence[tuple[int, str, ActivityTask]]) -> None:
        """Begin inline activities: (partition, workflow ID, task) of each."""
        if inline:
            serving = self.partitions
            self._inline.submit(
                [(serving[number], workflow_id, task) for number, workflow_id, task in inline]
            )

    def cancel(self, stale: Sequence[tuple[int, AttemptKey]]) -> None:
        """These inline activities need not run any more: (partition, attempt) of each."""
        if stale:
            serving = self.partitions
            self._inline.cancel([(serving[number], key) for number, key in stale])

    def _handle(self, batch: Batch, now_ms: int, room: Room) -> None:
        """Take the turns of what was read, as far as there is room: the rest is held for the next batch."""
        held, serving, handled = self._held, self.partitions, list[LogRecord]()
        memory = self._memory
        while held and room.is_left:
            if memory is not None and len(handled) % READ_BACK_MAX == 0:
                self._read_back(memory)
            record = held.popleft()
            handled.append(record)
            serving[record.partition].handle(record, batch, now_ms)
        batch.read(handled)
        self.hot_key.note(handled, self._host.monotonic())

    def _read_back(self, memory: Memory) -> None:
        """Have the bodies of the workflows in memory that the next records are for, where they are absent."""
        wanted: dict[int, list[str]] = {}
        for record in islice(self._held, READ_BACK_MAX):
            workflow_id = (record.key or b"").decode(errors="replace")
            wanted.setdefault(record.partition, []).append(workflow_id)
        memory.read_back([(self.partitions[number].cells, ids) for number, ids in wanted.items()])

    def _handle_inline(self, batch: Batch, now_ms: int, room: Room) -> int:
        """Take what came of inline activities; returns how many were begun at once because of it."""
        self._inline_results.extend(self._inline.take())
        begun_count = 0
        for _ in range(min(INLINE_MAX, len(self._inline_results))):
            if not room.is_left:
                break
            owner, workflow_id, result, is_checkpoint = self._inline_results.popleft()
            # A result that was asked for before a failed commit belongs to a past that did not happen.
            if not isinstance(owner, Partition) or self.partitions.get(owner.number) is not owner:
                continue
            mark = len(batch.inline)
            owner.handle_result(workflow_id, result, batch, now_ms)
            if is_checkpoint:
                batch.checkpointed.add(workflow_id)
            elif len(batch.inline) > mark and workflow_id not in batch.checkpointed:
                following = batch.inline[mark:]
                del batch.inline[mark:]
                self.submit(following)
                begun_count += len(following)
        return begun_count

    def _fire_due(self, batch: Batch, now_ms: int, room: Room) -> None:
        """What is due, shared out among the partitions; another one begins every time."""
        partitions = list(self.partitions.values())
        self._batch_count += 1
        first = self._batch_count % max(len(partitions), 1)
        left = DUE_MAX
        for position, partition in enumerate(partitions[first:] + partitions[:first]):
            share = max(1, left // (len(partitions) - position))
            left -= partition.fire_due(batch, now_ms, share, room)
            if left <= 0 or not room.is_left:
                return

    def _lease_time(self, record_count: int) -> float:
        """How much time has passed for those whose heartbeats lie on the log by now: none while there is more to read.

        When this process stood still, it is not they who were silent.
        """
        now_s = self._host.monotonic()
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        return 0.0 if self._held or record_count >= RECORDS_MAX else min(passed_s, _LEASE_STEP_S)
