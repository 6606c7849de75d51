"""What lies between a process and the brokers: time that passes, and brokers that do not answer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from random import Random
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from tests.simulation.faults import Faults
from tests.simulation.log import _menu
from tests.simulation.log._answers import Refusal, RefusedError
from tests.simulation.log._bell import Bell, Timers
from tests.simulation.scheduler import Process, Scheduler

_LATENCY_S_MIN = 0.00005
_LATENCY_S_SPREAD = 0.0005
_AWAY_S_MAX = 8.0

P = ParamSpec("P")
R = TypeVar("R")


class Network:
    """Time, chance and the fault menu of one cluster."""

    def __init__(self, scheduler: Scheduler, faults: Faults) -> None:
        self.scheduler = scheduler
        self.faults = faults
        self.random = Random(scheduler.random.getrandbits(64))
        self.timers = Timers(scheduler)

    @property
    def now(self) -> float:
        return self.scheduler.now

    def latency_s(self) -> float:
        """How long one way takes."""
        if self.faults.fires(_menu.SLOW_BROKER):
            return self.long_s(0.005, 3.0)
        return _LATENCY_S_MIN + _LATENCY_S_SPREAD * self.random.random()

    def long_s(self, low: float, high: float) -> float:
        """A delay for a fault: 1 to 10 ms is as likely as 0.1 to 1 s."""
        return math.exp(self.random.uniform(math.log(low), math.log(high)))

    def later(self, function: Callable[[], object]) -> None:
        """Have something arrive at a broker, one way from now."""
        self.timers.after(self.latency_s(), function)


class Availability:
    """Whether the broker that leads something is there."""

    __slots__ = ("_fault", "_network", "on_return", "until_s")

    def __init__(self, network: Network, fault: str) -> None:
        self._network = network
        self._fault = fault
        self.until_s = 0.0
        self.on_return: Callable[[], object] = lambda: None

    def away_s(self) -> float:
        """How long nobody will answer. Asking is a visit of the fault's site."""
        network = self._network
        if network.faults.fires(self._fault):
            self.go(network.long_s(0.01, _AWAY_S_MAX))
        return max(0.0, self.until_s - network.now)

    def go(self, seconds: float) -> None:
        """Answer nobody for so long."""
        self.until_s = max(self.until_s, self._network.now + seconds)
        self._network.timers.after(self.until_s - self._network.now, self._come_back)

    def _come_back(self) -> None:
        if self.until_s <= self._network.now:
            self.on_return()


class Connection:
    """A process's way to the cluster. Whatever is made from a log has the log's connection."""

    def __init__(self, network: Network, process: Process) -> None:
        self.network = network
        self.scheduler = network.scheduler
        self.process = process

    @property
    def now(self) -> float:
        return self.scheduler.now

    def check(self) -> None:
        """Raises ProcessKilledError in a process that was killed."""
        self.process.check()
        self.network.timers.check()

    def bell(self) -> Bell:
        return Bell(self.scheduler, self.process)

    def travel(self) -> None:
        """One way takes its time, and the process may not survive it."""
        self.scheduler.sleep(self.network.latency_s())

    def ask(self, leader: Availability, deadline_s: float) -> None:
        """Bring a request to its broker. Raises RefusedError when it is away until the deadline."""
        self.travel()
        while (away_s := leader.away_s()) > 0:
            left_s = deadline_s - self.now
            if left_s <= 0:
                raise RefusedError(Refusal.AWAY)
            self.scheduler.sleep(min(away_s, left_s))

    def drive(self, function: Callable[[], R]) -> R:
        """Run a call from outside of the simulation: in a task of its own, until it returns."""
        results: list[R] = []
        task = self.scheduler.spawn(self.process, lambda: results.append(function()), "call")
        self.scheduler.run(lambda: task.done, math.inf)
        if task.error is not None:
            raise task.error
        self.check()
        assert task.done, "the call waits for something that never comes"
        return results[0]


class Connected(Protocol):
    @property
    def connection(self) -> Connection: ...


S = TypeVar("S", bound=Connected)


def call(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method that may wait: refused to the dead, and driven when it is called from outside of any task."""

    @functools.wraps(method)
    def called(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        connection = self.connection
        connection.check()
        if connection.scheduler.current is None:
            return connection.drive(lambda: method(self, *args, **kwargs))
        return method(self, *args, **kwargs)

    return called
