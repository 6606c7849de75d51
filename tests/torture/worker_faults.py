"""What befalls the workers: killed, frozen past their session, replaced while frozen, stopped, renamed.

The schedule comes from a seed; real time is not repeatable, so neither is what happens in between.
"""

from __future__ import annotations

import heapq
import itertools
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tests.torture.processes import SESSION_TIMEOUT_S, Launched, Worker

_FENCED = "Two processes must not share an instance ID"
_ABORTED = "rd_kafka_enq_once_del_source_return: Assertion"
_TICK_S = 0.1
_KINDS = {"kill": 65, "freeze": 25, "stop": 10}
_AT_ONCE_SHARE = 0.5
_NEW_INSTANCE_SHARE = 0.15
_REPLACED_SHARE = 0.4
"""Of the frozen: another is started under their instance ID while they are."""
_PAUSE_S = (0.5, 8.0)
_FREEZE_BEYOND_SESSION_S = (1.0, 6.0)
_ZOMBIE_PATIENCE_S = 45.0
"""In that time a zombie must have found out, and ended."""
_STOP_PATIENCE_S = 30.0


class WorkerFaults:
    """A thread that torments `workers`, on average every `mean_s`, until `stop`; then `heal` puts all right."""

    def __init__(self, workers: Sequence[Worker], seed: str, mean_s: float) -> None:
        self._workers = workers
        self._draw = random.Random(seed)
        self._mean_s = mean_s
        self._plan: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._leaving: list[Launched] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.counts: Counter[str] = Counter()
        self.happened: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self._began_s = time.monotonic()

    def start(self) -> None:
        self._began_s = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def heal(self) -> None:
        """Every place has a running process again, and no zombie is left."""
        for launched in list(self._leaving):
            deadline_s = time.monotonic() + _STOP_PATIENCE_S
            while not launched.has_ended() and time.monotonic() < deadline_s:
                time.sleep(_TICK_S)
            self._part_with(launched)
        for worker in self._workers:
            for zombie in worker.zombies:
                self._end_zombie(zombie)
            worker.zombies.clear()
            if worker.current is not None and worker.current.frozen:
                worker.current.send(signal.SIGCONT)
            if worker.current is None or worker.current.has_ended():
                worker.start()

    def watch(self) -> None:
        """A process that ended by itself is a problem, unless its place was taken: then it has to."""
        for worker in self._workers:
            if worker.current is not None and worker.current.has_ended():
                self._take_note(worker, worker.current)
                worker.start()
            for zombie in [one for one in worker.zombies if one.has_ended()]:
                self.counts["zombies that ended"] += 1
                worker.zombies.remove(zombie)

    def _take_note(self, worker: Worker, ended: Launched) -> None:
        log_tail = ended.log_tail()
        if ended.has_twin and _FENCED in log_tail:
            # Kafka's client joins anew when it wakes up, and so a zombie may win its place back. One of two must go.
            self.counts["fenced by a zombie"] += 1
        elif _ABORTED in log_tail:
            # As sudden as a kill, and no more harmful.
            self.counts["aborted by librdkafka (issue 4605)"] += 1
        else:
            self.problems.append(
                f"{worker.name} ended by itself with exit status {ended.process.returncode}; "
                f"{ended.log.name} ends with:\n{log_tail}"
            )

    def _run(self) -> None:
        self._at(self._draw.expovariate(1 / self._mean_s), self._strike)
        while not self._stopping.wait(_TICK_S):
            self.watch()
            while self._plan and self._plan[0][0] <= time.monotonic():
                heapq.heappop(self._plan)[2]()

    def _at(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._plan, (time.monotonic() + delay_s, next(self._order), action))

    def _note(self, kind: str, worker: Worker) -> None:
        self.counts[kind] += 1
        at_s = round(time.monotonic() - self._began_s, 2)
        self.happened.append({"at_s": at_s, "kind": kind, "who": worker.instance_id})

    def _strike(self) -> None:
        self._at(self._draw.expovariate(1 / self._mean_s), self._strike)
        able = [
            worker
            for worker in self._workers
            if worker.current is not None and not worker.current.frozen
        ]
        kind = self._draw.choices(list(_KINDS), list(_KINDS.values()))[0]
        if not able:
            return
        worker = self._draw.choice(able)
        assert worker.current is not None, "chosen among those that run"
        if kind == "freeze":
            self._freeze(worker, worker.current)
            return
        self._note(f"{kind} {worker.role}", worker)
        launched, worker.current = worker.current, None
        restart = self._restart_later(worker)
        if kind == "kill":
            launched.kill()
            restart()
        else:
            self._stop(launched, restart)

    def _restart_later(self, worker: Worker) -> Callable[[], None]:
        pause_s = 0.0 if self._draw.random() < _AT_ONCE_SHARE else self._draw.uniform(*_PAUSE_S)
        new_instance = self._draw.random() < _NEW_INSTANCE_SHARE
        self.counts["restarts under a new instance ID"] += new_instance

        def restart() -> None:
            worker.start(new_instance=new_instance)

        return lambda: self._at(pause_s, restart)

    def _stop(self, launched: Launched, then: Callable[[], None]) -> None:
        """SIGTERM: it drains, and its place is free only when it has gone."""
        launched.send(signal.SIGTERM)
        self._leaving.append(launched)
        deadline_s = time.monotonic() + _STOP_PATIENCE_S

        def look() -> None:
            if launched.has_ended() or time.monotonic() > deadline_s:
                self._part_with(launched)
                then()
            else:
                self._at(_TICK_S, look)

        look()

    def _part_with(self, launched: Launched) -> None:
        self._leaving.remove(launched)
        if not launched.has_ended():
            launched.kill()
            self.problems.append(f"{launched.log.name}: still there after SIGTERM")
        elif launched.process.returncode:
            self.counts["stops that ended with an error"] += 1

    def _freeze(self, worker: Worker, launched: Launched) -> None:
        self._note(f"freeze {worker.role}", worker)
        launched.send(signal.SIGSTOP)
        frozen_s = SESSION_TIMEOUT_S + self._draw.uniform(*_FREEZE_BEYOND_SESSION_S)
        if self._draw.random() < _REPLACED_SHARE:
            self.counts["replaced while frozen"] += 1
            launched.fenced = True
            worker.zombies.append(launched)
            worker.start()
        self._at(frozen_s, lambda: self._thaw(launched))

    def _thaw(self, launched: Launched) -> None:
        if launched.has_ended():
            return
        launched.send(signal.SIGCONT)
        if launched.fenced:
            self._at(_ZOMBIE_PATIENCE_S, lambda: self._end_zombie(launched))

    def _end_zombie(self, launched: Launched) -> None:
        if not launched.has_ended():
            self.counts["zombies that had to be killed"] += 1
            launched.kill()
