"""Who takes part: brokers, workflow workers (owners), activity workers, and a client as the benchmarks have it."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from benchmarks.scale.costs import FOLLOWER_SHARE, SERIAL_SHARE
from benchmarks.scale.kernel import (
    NEVER,
    Clock,
    Cohort,
    Cores,
    Lock,
    Process,
    Steps,
    poisson,
    split,
    touched,
)

if TYPE_CHECKING:
    from benchmarks.scale.model import Run

RECORDS_MAX = 1000
"""Of a workflow worker's batch."""
TASKS_MAX = 500
"""That an activity worker begins at once."""
TOPICS = 3
"""Written by an owner for each of its partition numbers: state, tasks, events."""


class Broker:
    """Leads its share of the partitions; what the copies cost the others is added to its own work: it has as many."""

    def __init__(self, clock: Clock, cores: Cores, followers: int) -> None:
        self.clock = clock
        self.cores = cores
        self.group = Cores(1)
        """The partition with a group's offsets, if it is here: one after the other."""
        self.busy_s = 0.0
        self._factor = 1 + FOLLOWER_SHARE * followers
        self._left_s = 0.0

    def done_s(self, work_s: float) -> float:
        work_s *= self._factor
        self.busy_s += work_s
        return self.cores.done_s(self.clock.now_s, work_s)

    def do(self, work_s: float) -> None:
        """What nobody waits for, but that what comes later has to share the cores with it."""
        work_s *= self._factor
        self.busy_s += work_s
        self._left_s += work_s
        if self._left_s == work_s:
            self._do_some()

    def _do_some(self) -> None:
        slice_s = min(self._left_s, self.cores.slice_s)
        done_s = self.cores.done_s(self.clock.now_s, slice_s)
        self._left_s -= slice_s
        if self._left_s > 0:
            self.clock.at(done_s, self._do_some)

    def group_done_s(self, work_s: float) -> float:
        """The same, but not before what came for the group earlier."""
        return max(self.group.done_s(self.clock.now_s, work_s), self.done_s(work_s))


class Owner(Process):
    """A workflow worker."""

    def __init__(self, run: Run, number: int, cores: Cores, lock: Lock) -> None:
        self._run = run
        self._number = number
        system, brokers = run.system, run.brokers
        first = number * system.partitions * TOPICS
        self.leaders = [
            brokers[(first + place) % len(brokers)] for place in range(system.partitions * TOPICS)
        ]
        self._coordinator = brokers[(number * 7 + 3) % len(brokers)]
        self._group = brokers[number % system.namespaces % len(brokers)]
        self._written_before = 0
        self._ended = 0.0
        self._partitions_due = 0.0
        self._decided_s = [0.0, 0.0]
        """Until when the markers of the last two transactions are written: a producer each."""
        share = system.shares[number] if system.shares else 1 / system.owners
        self._starts_per_s = system.rate * share / max(system.steps, 1)
        self._looked_s = 0.0
        super().__init__(run.clock, cores, lock)

    def loop(self) -> Steps:
        run = self._run
        while True:
            self._note_starts()
            batch = self.take(RECORDS_MAX)
            count = sum(cohort.count for cohort in batch)
            if not count:
                yield from self._wait()
                continue
            run.note_batch(count)
            yield from self.work(run.costs.worker_transaction + count * run.costs.worker_record)
            tasks, ends = self._outcome(count)
            readable_s = yield from self._commit(count, tasks, ends)
            self._send_on(batch, tasks, ends, readable_s)

    def _note_starts(self) -> None:
        """Those that came, at any time, while it was busy."""
        now_s, run = self.clock.now_s, self._run
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        if count := poisson(run.random, self._starts_per_s * passed_s):
            self.add(Cohort(count, now_s - passed_s * run.random.random(), self._number))

    def _wait(self) -> Steps:
        """Until something comes: a record, or the next start."""
        start_s = NEVER
        if self._starts_per_s:
            start_s = self.clock.now_s + self._run.random.expovariate(self._starts_per_s)
        yield from self.idle(start_s)
        self._looked_s = self.clock.now_s
        if self._looked_s >= start_s:
            self.add(Cohort(1, start_s, self._number))

    def _outcome(self, count: int) -> tuple[int, int]:
        """How many of so many records lead to a task, and how many end their runs."""
        self._ended += count / (self._run.system.steps + 1)
        ends = int(self._ended + 1e-9)
        self._ended -= ends
        return count - ends, ends

    def _commit(self, count: int, tasks: int, ends: int) -> Generator[float, None, float]:
        """One transaction; returns when others may read it. The next one need not wait for that, but that after it."""
        run, clock, costs = self._run, self.clock, self._run.costs
        if self._decided_s[0] > clock.now_s:
            yield self._decided_s[0]
        leaders = self._written(count, tasks, ends)
        write_s = costs.broker_partition / 2
        yield max(leader.done_s(write_s) for leader in leaders) + run.trip_s(copied=True)
        group_s = costs.broker_offsets * SERIAL_SHARE
        offsets_s = costs.broker_offsets - group_s
        done_s = max(self._group.group_done_s(group_s / 2), self._coordinator.done_s(offsets_s))
        yield done_s + run.trip_s(copied=True)
        yield self._coordinator.done_s(costs.broker_transaction) + run.trip_s(copied=True)
        marked_s = self._group.group_done_s(group_s / 2)
        for leader in leaders:
            marked_s = max(marked_s, leader.done_s(write_s))
            leader.do(count * costs.broker_record / len(leaders))
        marked_s += run.trip_s(copied=True)
        self._decided_s = [self._decided_s[1], marked_s]
        return marked_s + run.trip_s()

    def _written(self, count: int, tasks: int, ends: int) -> list[Broker]:
        """The leaders of the partitions that are written: the fewer records, the fewer."""
        partitions = self._run.system.partitions
        self._partitions_due += sum(touched(n, partitions) for n in (count, tasks, 2 * ends))
        written = max(1, int(self._partitions_due))
        self._partitions_due = max(0.0, self._partitions_due - written)
        first, places = self._written_before, len(self.leaders)
        self._written_before = (first + written) % places
        return [self.leaders[(first + place) % places] for place in range(written)]

    def _send_on(self, batch: Sequence[Cohort], tasks: int, ends: int, readable_s: float) -> None:
        run = self._run
        targets = run.activity_workers_of(self._number)
        parts = [part for part in split(tasks, len(targets)) if part]
        ages = ages_of(batch, [*parts, ends])
        first = run.transactions  # the larger parts go to others every time
        for place, part in enumerate(parts, first):
            worker = targets[place % len(targets)]
            worker.deliver(readable_s, Cohort(part, next(ages), self._number))
        if ends:
            run.end(Cohort(ends, next(ages), self._number), readable_s)


def ages_of(batch: Sequence[Cohort], parts: Sequence[int]) -> Iterator[float]:
    """For each part of a batch, oldest first, the mean of its records' `since_s`."""
    left = deque((cohort.since_s, cohort.count) for cohort in batch)
    for part in parts:
        sum_s, wanted = 0.0, part
        while wanted:
            since_s, count = left.popleft()
            taken = min(wanted, count)
            if taken < count:
                left.appendleft((since_s, count - taken))
            sum_s += since_s * taken
            wanted -= taken
        yield sum_s / part if part else 0.0


class ActivityWorker(Process):
    """Activities that take no time themselves."""

    def __init__(self, run: Run, cores: Cores, lock: Lock) -> None:
        self._run = run
        self._written = 0
        super().__init__(run.clock, cores, lock)

    def loop(self) -> Steps:
        costs = self._run.costs
        while True:
            tasks = self.take(TASKS_MAX)
            if not tasks:
                yield from self.idle()
                continue
            fixed_s = costs.activity_batch
            for cohort in tasks:
                yield from self.work(fixed_s + cohort.count * costs.activity_step)
                fixed_s = 0.0
                self._write(cohort)

    def _write(self, cohort: Cohort) -> None:
        """The results, on the partitions of their workflows; nobody waits for that but their owner."""
        run = self._run
        owner, leaders = run.owners[cohort.owner], run.owners[cohort.owner].leaders
        written = max(1, round(touched(cohort.count, run.system.partitions)))
        done_s = 0.0
        for _ in range(written):
            self._written += 1
            done_s = max(
                done_s, leaders[self._written % len(leaders)].done_s(run.costs.broker_write)
            )
        readable_s = done_s + run.trip_s(copied=True) + run.trip_s()
        run.note_steps(readable_s - cohort.since_s, cohort.count)
        owner.deliver(readable_s, Cohort(cohort.count, readable_s, cohort.owner))


class Client(Process):
    """Starts a workflow for each that ends."""

    def __init__(self, run: Run, cores: Cores) -> None:
        self._run = run
        super().__init__(run.clock, cores, Lock())

    def loop(self) -> Steps:
        run = self._run
        while True:
            replies = self.take(RECORDS_MAX)
            if not replies:
                yield from self.idle()
                continue
            for cohort in replies:
                yield from self.work(cohort.count * run.costs.client_workflow)
                run.start_again(cohort)
