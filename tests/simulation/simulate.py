"""One run: things go wrong, then everything is healed and must end, then the books are checked."""

from __future__ import annotations

import gc
import hashlib
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.simulation.checks import problems_of
from tests.simulation.coverage import transitions_of
from tests.simulation.faults import Faults
from tests.simulation.histories import Histories
from tests.simulation.nemesis import Nemesis
from tests.simulation.scheduler import Scheduler
from tests.simulation.workloads import WORKLOADS, Workload
from tests.simulation.world import World

SAFETY_S = 25.0
"""Virtual seconds of faults."""
LIVENESS_S = 400.0
"""Virtual seconds in which everything must end once the faults are over."""
_SETTLE_S = 8.0
_WORKFLOWS_MAX = 14


@dataclass(slots=True)
class Outcome:
    seed: int
    problems: list[str]
    faults: Counter[str] = field(default_factory=Counter)
    transitions: set[str] = field(default_factory=set)
    virtual_s: float = 0.0
    runs: int = 0
    digest: str = ""
    """Of everything that was written: two runs of one seed are the same run."""


def simulate(
    seed: int,
    *,
    armed: frozenset[str] | None = None,
    workloads: Sequence[Workload] = WORKLOADS,
) -> Outcome:
    """The whole run of one seed. `armed`: exactly these faults, instead of what the seed draws."""
    logging.getLogger("weft").setLevel(logging.CRITICAL + 1)
    # What is left of a killed process would be closed whenever the collector comes by: not in the middle of a run.
    gc.disable()
    hook, sys.unraisablehook = sys.unraisablehook, lambda _unraisable: None
    scheduler = Scheduler(seed)
    faults = Faults(scheduler.random, armed=armed)
    world = World(seed, faults, scheduler)
    try:
        return _run(world, workloads)
    finally:
        world.end()
        del world
        gc.enable()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a killed process never awaited
            gc.collect()
        sys.unraisablehook = hook


def _run(world: World, workloads: Sequence[Workload]) -> Outcome:
    scheduler, faults = world.scheduler, world.faults
    world.deploy()
    for number in range(world.random.choice([1, 2])):
        count = world.random.randrange(2, _WORKFLOWS_MAX)
        chosen = [world.random.choice(workloads) for _ in range(count)]
        world.add_user([(f"{do.__name__}-{number}-{n}", do) for n, do in enumerate(chosen)])
    nemesis = Nemesis(world)
    scheduler.spawn(scheduler.outside, nemesis.run, "nemesis")
    scheduler.spawn(scheduler.outside, nemesis.repeat, "repeater")
    scheduler.run(lambda: False, scheduler.now + world.random.uniform(5.0, SAFETY_S))

    faults.heal()
    world.heal()
    ended = scheduler.run(lambda: world.users_are_done, scheduler.now + LIVENESS_S)
    if ended:
        ended = scheduler.run(world.is_quiet, scheduler.now + LIVENESS_S)
    else:
        world.problems.append(
            f"not everything ended within {LIVENESS_S:g} s after the faults were over"
        )
        world.problems += world.waiting()
    scheduler.run(lambda: False, scheduler.now + _SETTLE_S)
    if not ended and not world.problems:
        world.problems.append("the workers did not come to rest")
        world.problems += world.waiting()
    for task in world.user_tasks:
        if task.error is not None:
            world.problems.append(f"{task.name} broke: {_text(task.error)}")

    histories = Histories(world.recorder.facts(world.namespace.state))
    return Outcome(
        world.seed,
        problems_of(world, histories),
        faults.fired,
        transitions_of(world, histories),
        scheduler.now,
        len(histories.runs),
        _digest(world),
    )


def _digest(world: World) -> str:
    digest = hashlib.sha256()
    for record in world.recorder.facts(world.namespace.state):
        digest.update(f"{record.partition}@{record.offset} {record.decided_s} ".encode())
        digest.update(record.value or b"")
    return digest.hexdigest()[:16]


def _text(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_text(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"
