"""What the model runs on: a clock of its own, cores that are waited for, inboxes. No wall clock, no threads."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator
from heapq import heappop, heappush, heapreplace
from random import Random
from typing import ClassVar

SLICE_S = 0.001
"""So long a process keeps a core that others wait for."""

Steps = Generator[float, None, None]
"""A process: it yields until when it waits, and is resumed then."""
NEVER = math.inf


class Clock:
    """Everything that is going to happen, in order."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time_s: float, happen: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._due, (time_s, self._count, happen))

    def run(self, until_s: float) -> None:
        due = self._due
        while due and due[0][0] <= until_s:
            self.now_s, _, happen = heappop(due)
            happen()
        self.now_s = until_s


class Cores:
    """So many cores, first come, first served. Calls must be in the order of time."""

    def __init__(self, count: int, *, shared: bool = False) -> None:
        self.count = count
        self.slice_s = SLICE_S if shared else NEVER
        self.busy_s = 0.0
        self._free_s = [0.0] * count

    def done_s(self, now_s: float, work_s: float) -> float:
        """When work that comes now will be done."""
        done_s = max(now_s, self._free_s[0]) + work_s
        heapreplace(self._free_s, done_s)
        self.busy_s += work_s
        return done_s


class Cohort:
    """Records that move together. `since_s`: when what caused them had come to the owner of their workflows."""

    __slots__ = ("count", "owner", "since_s")

    def __init__(self, count: int, since_s: float, owner: int) -> None:
        self.count = count
        self.since_s = since_s
        self.owner = owner


class Lock:
    """A Python interpreter's: one of its threads at a time."""

    def __init__(self) -> None:
        self.free_s = 0.0
        self.busy_s = 0.0


class Process(ABC):
    """A loop over an inbox: on cores that may be shared, and under a lock that another loop may share."""

    def __init__(self, clock: Clock, cores: Cores, lock: Lock) -> None:
        self.clock = clock
        self.cores = cores
        self.lock = lock
        self.inbox: deque[Cohort] = deque()
        self.waiting = 0
        """Records in the inbox."""
        self._steps = self.loop()
        self._resumed = 0
        self._is_idle = False
        clock.at(clock.now_s, self._resume)

    @abstractmethod
    def loop(self) -> Steps:
        """Yields NEVER, or how long it would wait at most, when the inbox is empty."""

    def deliver(self, time_s: float, cohort: Cohort) -> None:
        """It is there at this time."""

        def arrive() -> None:
            self.add(cohort)
            if self._is_idle:
                self._resume()

        self.clock.at(time_s, arrive)

    def add(self, cohort: Cohort) -> None:
        self.inbox.append(cohort)
        self.waiting += cohort.count

    def take(self, count_max: int) -> list[Cohort]:
        """The oldest records, at most so many: a cohort may be split."""
        taken, left = [], count_max
        while self.inbox and left:
            cohort = self.inbox[0]
            if cohort.count <= left:
                self.inbox.popleft()
            else:
                cohort.count -= left
                cohort = Cohort(left, cohort.since_s, cohort.owner)
            left -= cohort.count
            taken.append(cohort)
        self.waiting -= count_max - left
        return taken

    def idle(self, until_s: float = NEVER) -> Steps:
        """Until a cohort comes, or until then."""
        if not self.inbox:
            self._is_idle = True
            yield until_s
            self._is_idle = False

    def work(self, work_s: float) -> Steps:
        """Use a core for so long: in slices where others want it, and one thread of an interpreter at a time."""
        lock, cores = self.lock, self.cores
        while work_s > 0:
            now_s = self.clock.now_s
            if lock.free_s > now_s:
                yield lock.free_s
                continue
            slice_s = min(work_s, cores.slice_s)
            lock.free_s = cores.done_s(now_s, slice_s)
            lock.busy_s += slice_s
            work_s -= slice_s
            yield lock.free_s
            if work_s > 0:
                yield lock.free_s  # the next one first

    def _resume(self) -> None:
        self._resumed += 1
        mark = self._resumed
        until_s = next(self._steps)

        def go_on() -> None:
            if self._resumed == mark:  # nobody was faster
                self._resume()

        if until_s < NEVER:
            self.clock.at(until_s, go_on)


def poisson(random: Random, mean: float) -> int:
    """How many come when so many come on average."""
    if not mean:
        return 0
    if mean > 50:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    count, product, limit = 0, random.random(), math.exp(-mean)
    while product > limit:
        count += 1
        product *= random.random()
    return count


def touched(records: float, partitions: int) -> float:
    """How many of so many partitions have a record at least, on average."""
    missed: float = (1.0 - 1.0 / partitions) ** records
    return partitions * (1.0 - missed)


def split(count: int, parts: int) -> list[int]:
    """Into so many parts, none differing by more than one; the larger ones first."""
    each, odd = divmod(count, parts)
    return [each + (number < odd) for number in range(parts)]


class Latencies:
    """Times with weights, in buckets of 2 %."""

    _BASE: ClassVar[float] = math.log(1.02)

    def __init__(self) -> None:
        self.count = 0
        self.sum_s = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, time_s: float, count: int) -> None:
        bucket = math.floor(math.log(max(time_s, 1e-6)) / self._BASE)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self.count += count
        self.sum_s += time_s * count

    def quantile_ms(self, share: float) -> float:
        left = share * self.count
        for bucket, count in sorted(self._buckets.items()):
            left -= count
            if left <= 0:
                return 1000 * math.exp((bucket + 1) * self._BASE)
        return 0.0
