"""What goes wrong with whole processes, at times of its own choosing. The log's own faults happen inside of the log."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.faults import fault
from tests.simulation.world import WorkerProcess, World
from weft.codec import decode_messages
from weft.records import ForwardedRecord

KILL = fault("kill", 1.0, "kill -9 of a worker at any moment; it comes back under its instance ID")
STOP = fault(
    "sigstop", 1.0, "a worker is stopped for up to three sessions, then goes on as a zombie"
)
DRAIN = fault("sigterm", 1.0, "a worker drains and comes back")
SCALE_OUT = fault("scale_out", 1.0, "one more worker joins")
SCALE_IN = fault("scale_in", 1.0, "a worker leaves for good")
CLOCK = fault("clock_jump", 1.0, "a machine's wall clock jumps")
COMPACT = fault("compaction", 1.0, "the log cleans itself")
AGAIN = fault("result_again", 0.5, "what an activity worker said lately is written once more")
MESSAGE_AGAIN = fault(
    "message_again", 0.5, "what workflows said to one another lately is written once more"
)

_MEAN_S = 3.0
_WORKERS_MAX = 4
_JUMP_S = 15.0
_REPEAT_MEAN_S = 0.5
_LATELY = 3
_SAID_LATELY = 6


class Nemesis:
    """Draws one of the armed faults every few seconds until the faults are healed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        self._added = 0
        self._faults: dict[str, Callable[[WorkerProcess], None]] = {
            KILL: lambda worker: worker.kill(),
            STOP: self._stop,
            DRAIN: lambda worker: worker.stop(),
            SCALE_OUT: lambda _worker: self._scale_out(),
            SCALE_IN: self._scale_in,
            CLOCK: self._jump,
            COMPACT: lambda _worker: self._compact(),
        }

    def run(self) -> None:
        """A task outside of every process."""
        world = self._world
        while not world.faults.healed:
            world.scheduler.sleep(self._random.expovariate(1 / _MEAN_S))
            name = self._random.choice(sorted(self._faults))
            worker = self._random.choice(world.workers)
            if world.faults.fires(name):
                self._faults[name](worker)

    def repeat(self) -> None:
        """A task outside of every process, too: results come again when other attempts are already on their way."""
        world = self._world
        producer = world.cluster.connect(world.scheduler.outside).foreign_producer()
        while not world.faults.healed:
            world.scheduler.sleep(self._random.expovariate(1 / _REPEAT_MEAN_S))
            if world.faults.fires(AGAIN):
                said = world.recorder.newest(world.namespace.results, _LATELY)
                for record in said:
                    producer.produce(record.topic, record.partition, record.key, record.value)
            if world.faults.fires(MESSAGE_AGAIN):
                for record in world.recorder.newest(world.namespace.messages, _SAID_LATELY):
                    if not isinstance(decode_messages(record.value), ForwardedRecord):
                        producer.produce(record.topic, record.partition, record.key, record.value)

    def _stop(self, worker: WorkerProcess) -> None:
        process = worker.process
        if process is None or not process.alive or process.stopped:
            return
        process.stop()
        seconds = self._random.choice([0.5, 3.0, 8.0, 18.0])
        self._world.scheduler.call_later(seconds, process.go_on, f"go on {process.name}")

    def _scale_out(self) -> None:
        world = self._world
        if sum(worker.wanted for worker in world.workers) < _WORKERS_MAX:
            self._added += 1
            world.add_worker(f"extra-{self._added}", workflows=True, activities=True)

    def _scale_in(self, worker: WorkerProcess) -> None:
        others = [other for other in self._world.workers if other is not worker and other.wanted]
        roles_remain = any(other.workflows for other in others) and any(
            other.activities for other in others
        )
        if roles_remain:
            worker.wanted = False
            worker.stop()

    def _compact(self) -> None:
        self._world.cluster.compact(is_whole=self._random.random() < 0.5)

    def _jump(self, worker: WorkerProcess) -> None:
        seconds = self._random.uniform(-_JUMP_S, _JUMP_S)
        self._world.clock_ahead_s_max = max(self._world.clock_ahead_s_max, seconds)
        worker.jump(seconds)
