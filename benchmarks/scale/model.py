"""Group commit, simulated: owners that commit what has come, brokers as queues, activity workers, clients.

An owner (a workflow worker process) takes up to 1,000 records, computes, commits one transaction, and begins again:
what came meanwhile is its next batch. So batches grow with the load, and with whatever makes a transaction slow.
Records move in cohorts, not one by one: a cycle of an owner is some ten events, whatever it carries.

`in_flight` workflows are kept going (as W1 does), or they are started at a `rate` (Poisson). Every record but the last
of a run becomes a task, and a task becomes a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean

from benchmarks.scale.actors import ActivityWorker, Broker, Client, Owner
from benchmarks.scale.costs import Costs
from benchmarks.scale.kernel import Clock, Cohort, Cores, Latencies, Lock, split

SETTLED = 0.98
"""Of the rate at which activities are begun, must be done before the warm-up is over."""
WARM_UPS_MAX = 12


@dataclass(frozen=True)
class System:
    """What is simulated. Give `in_flight`, `backlog` or `rate`."""

    costs: Costs
    brokers: int = 1
    broker_cores: int = 8
    copies: int = 3
    owners: int = 1
    partitions: int = 4
    """Of each owner."""
    activity_workers: int = 1
    namespaces: int = 1
    """Each has a group of its own, and so a coordinator."""
    shared_cores: int = 0
    """Everything, a client too, runs on these, as in the benchmarks; 0: each process has what it needs."""
    together: bool = False
    """Owners are activity workers too, one interpreter for both."""
    steps: int = 5
    """Activities of a workflow. With none, each record is a run's last: a signal."""
    in_flight: int = 0
    backlog: int = 0
    """Records that are there when it begins, and are not replaced."""
    rate: float = 0.0
    """Activities/s that are begun."""
    shares: Sequence[float] = ()
    """Of the load, of each owner; even without."""
    seed: int = 1


class Run:
    """One simulation: let its clock run, `forget` what was noted so far, let it run on, and ask for the `outcome`."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.costs = system.costs
        self.random = Random(system.seed)  # noqa: S311
        self.clock = Clock()
        self.shared = Cores(system.shared_cores, shared=True) if system.shared_cores else None
        self.brokers = [
            Broker(self.clock, self.shared or Cores(system.broker_cores), system.copies - 1)
            for _ in range(system.brokers)
        ]
        self.transactions = 0
        self.owners = [
            Owner(self, number, self._cores(), Lock()) for number in range(system.owners)
        ]
        locks = [owner.lock for owner in self.owners] if system.together else []
        count = system.owners if system.together else system.activity_workers
        self.activity_workers = [
            ActivityWorker(self, self._cores(), locks[number] if locks else Lock())
            for number in range(count)
        ]
        self.client = Client(self, self.shared) if self.shared else None
        self._targets = [self._targets_of(number) for number in range(system.owners)]
        self.forget()
        for number, count in enumerate(split(system.in_flight + system.backlog, system.owners)):
            if count:
                self.owners[number].deliver(0.0, Cohort(count, 0.0, number))

    def _cores(self) -> Cores:
        return self.shared or Cores(1)

    def _targets_of(self, owner: int) -> list[ActivityWorker]:
        """Who has the task partitions of an owner's numbers."""
        partitions, workers = self.system.partitions, self.activity_workers
        numbers = range(owner * partitions, (owner + 1) * partitions)
        return [workers[number] for number in sorted({n % len(workers) for n in numbers})]

    def activity_workers_of(self, owner: int) -> list[ActivityWorker]:
        return self._targets[owner]

    def trip_s(self, *, copied: bool = False) -> float:
        """Half of it is the same every time. What is copied waits for its followers' next fetch too."""
        trips = 2 if copied and self.system.copies > 1 else 1
        return trips * self.costs.trip_s * (0.5 + self.random.expovariate(2.0))

    # What happens to runs.

    def end(self, cohort: Cohort, readable_s: float) -> None:
        self.ended += cohort.count
        self.end_latencies.add(readable_s - cohort.since_s, cohort.count)
        if not self.system.in_flight:
            return
        if self.client is not None:
            cohort.since_s = readable_s
            self.client.deliver(readable_s, cohort)
        else:
            self._start_at(cohort.owner, cohort.count, readable_s)

    def start_again(self, cohort: Cohort) -> None:
        owner = self.owners[cohort.owner]
        done_s = owner.leaders[0].done_s(self.costs.broker_write)
        readable_s = done_s + self.trip_s(copied=True) + self.trip_s()
        self.client_latencies.add(readable_s - cohort.since_s, cohort.count)
        self._start_at(cohort.owner, cohort.count, readable_s)

    def _start_at(self, owner: int, count: int, time_s: float) -> None:
        self.owners[owner].deliver(time_s, Cohort(count, time_s, owner))

    # What is measured.

    def forget(self) -> None:
        """What was noted so far: it was the warm-up."""
        self._began_s = self.clock.now_s
        self.step_latencies = Latencies()
        """From a record's coming to its owner until its activity's result has come there."""
        self.end_latencies = Latencies()
        """From the last result's coming to the owner until the workflow's end can be read."""
        self.client_latencies = Latencies()
        self.ended = self.transactions = self.records = 0
        for process in (*self.owners, *self.activity_workers):
            process.lock.busy_s = 0.0
        if self.client:
            self.client.lock.busy_s = 0.0
        for broker in self.brokers:
            broker.busy_s = broker.group.busy_s = 0.0

    def note_batch(self, count: int) -> None:
        self.transactions += 1
        self.records += count

    def note_steps(self, latency_s: float, count: int) -> None:
        self.step_latencies.add(latency_s, count)

    def outcome(self) -> Outcome:
        seconds = self.clock.now_s - self._began_s
        owners = [owner.lock.busy_s / seconds for owner in self.owners]
        workers = [worker.lock.busy_s / seconds for worker in self.activity_workers]
        cores = self.brokers[0].cores.count
        brokers = [broker.busy_s / seconds / cores for broker in self.brokers]
        return Outcome(
            seconds=seconds,
            steps_per_s=self.step_latencies.count / seconds,
            ends_per_s=self.ended / seconds,
            p50_ms=self.step_latencies.quantile_ms(0.5),
            p99_ms=self.step_latencies.quantile_ms(0.99),
            batch=self.records / max(self.transactions, 1),
            transactions_per_s=self.transactions / seconds,
            busy={
                "workflow workers": mean(owners),
                "activity workers": mean(workers),
                "brokers": mean(brokers),
                "group coordinator": max(broker.group.busy_s for broker in self.brokers) / seconds,
                "client": self.client.lock.busy_s / seconds if self.client else 0.0,
            },
            busiest_owner=max(owners),
            busiest_broker=max(brokers),
            waiting=sum(owner.waiting for owner in self.owners),
        )


@dataclass(frozen=True)
class Outcome:
    """Of the measured time. `busy`: shares of what there is, by kind; of one core for a client."""

    seconds: float
    steps_per_s: float
    ends_per_s: float
    p50_ms: float
    p99_ms: float
    batch: float
    transactions_per_s: float
    busy: Mapping[str, float]
    busiest_owner: float
    busiest_broker: float
    waiting: int
    """Records that their owners had not taken at the end."""


def simulate(system: System, seconds: float = 0.5, warm_up_s: float = 0.5) -> Outcome:
    """What it does for so long, after a warm-up. That is longer where a rate of starts has not come through by then."""
    run = Run(system)
    run.clock.run(warm_up_s)
    for _ in range(WARM_UPS_MAX if system.rate else 0):
        run.forget()
        run.clock.run(run.clock.now_s + warm_up_s)
        if run.step_latencies.count >= SETTLED * system.rate * warm_up_s:
            break
    run.forget()
    run.clock.run(run.clock.now_s + seconds)
    return run.outcome()
