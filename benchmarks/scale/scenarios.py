"""What is simulated: rows that were measured, and what nobody measured. Each part gives lines, like a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from benchmarks.scale.costs import (
    DISK_BYTES_PER_S,
    MEMORY_BYTES,
    REBUILT_PER_S,
    RESTART_S,
    TAKEOVER_S,
    Costs,
    line_of,
)
from benchmarks.scale.fitting import FITTED, benchmark, cpu_s
from benchmarks.scale.model import Outcome, Run, System, simulate
from benchmarks.stage import Line

SIZES = (3, 30, 300)
OWNERS_EACH, ACTIVITY_WORKERS_EACH = 13, 10
"""For three brokers."""
LOADS = (0.5, 0.8, 0.95)
PICTURE_LOADS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
FULL_IN_FLIGHT = 10_000
"""Workflows of each owner, to see what it carries at most."""
FULL = 0.95
"""Busy so much, something is the limit."""
PARTITIONS_IN_ALL = 104
"""For the sweep over workers."""
HEADS_BYTES = (4_000, 8_000, 16_000)
HOT_SHARES = (0.0, 0.05, 0.1, 0.2, 0.5)
ZIPF_EXPONENTS = (0.0, 0.5, 1.0)
OPEN_WORKFLOWS = (10_000, 100_000, 250_000, 1_000_000)
SEED = 5


class Model:
    """The costs, and what was measured."""

    def __init__(self, costs: Costs, measured: list[Line]) -> None:
        self.costs = costs
        self.measured = measured
        wide = line_of(measured, *FITTED[0])
        assert wide is not None, "the costs were fitted to it"
        self.bytes_per_step: float = wide["bytes_per_activity"]
        state = wide["topics"]["state"]
        self.heads_per_step: float = state["records"]
        self.head_bytes: float = state["bytes"] / state["records"]
        self._full: dict[System, Outcome] = {}

    def system(self, brokers: int, **settings: Any) -> System:
        """With the usual workers for so many brokers."""
        usual = {
            "owners": OWNERS_EACH * brokers // 3,
            "activity_workers": ACTIVITY_WORKERS_EACH * brokers // 3,
        }
        return replace(System(self.costs, brokers=brokers), **{**usual, **settings})

    def full(self, system: System) -> Outcome:
        """With as much as it can take."""
        if system not in self._full:
            loaded = replace(system, in_flight=FULL_IN_FLIGHT * system.owners)
            self._full[system] = simulate(loaded, 0.7, 1.4)
        return self._full[system]

    def disk(self, brokers: int, copies: int, steps_per_s: float) -> float:
        """The share of the brokers' disks that this takes."""
        return steps_per_s * self.bytes_per_step * copies / brokers / DISK_BYTES_PER_S


# What was measured.


def validation(model: Model) -> Iterator[Line]:
    """Measured, and what the model says. No `measured` where there is no such row yet."""
    for width in (2000, 200):
        yield from _w1(model, f"queued, {width} in flight", width)
    single = simulate(benchmark(model.costs, in_flight=1, steps=1), 10.0)
    yield _compared(model, "W2", "queued", "p50_ms", 1000 / single.ends_per_s)
    signalled = simulate(benchmark(model.costs, in_flight=1, steps=0), 10.0)
    yield _compared(model, "W4", "", "p50_ms", 1000 / signalled.ends_per_s)
    for ids, partitions in (("one ID", 1), ("10,000 IDs", 4)):
        system = benchmark(model.costs, backlog=1_000_000, steps=0, partitions=partitions)
        per_s = simulate(system, 4.0).ends_per_s
        yield _compared(model, "W9", f"to {ids}", "signals_per_s", per_s)
    for count, variant in ((1, "1 process"), (2, "2 processes"), (4, "4 processes")):
        system = benchmark(
            model.costs, in_flight=2000, owners=count, partitions=4 // count, together=True
        )
        per_s = simulate(system, 8.0, 2.0).steps_per_s
        yield _compared(model, "W12", variant, "activities_per_s", per_s)


def _w1(model: Model, variant: str, width: int) -> Iterator[Line]:
    run = Run(benchmark(model.costs, in_flight=width))
    run.clock.run(2.0)
    run.forget()
    run.clock.run(10.0)
    outcome = run.outcome()
    yield _compared(model, "W1", variant, "activities_per_s", outcome.steps_per_s)
    used_s = sum(used for _, used in cpu_s(run))
    per_1000 = used_s / run.step_latencies.count * 1000
    yield _compared(model, "W1", variant, "cpu_s_per_1000_activities", per_1000)


_FITTED_FIGURES = {
    (*FITTED[0], "cpu_s_per_1000_activities"),
    (*FITTED[1], "p50_ms"),
}


def _compared(model: Model, workload: str, variant: str, figure: str, predicted: float) -> Line:
    line = line_of(model.measured, workload, variant)
    found = {"measured": line[figure]} if line is not None else {}
    return {
        "row": workload,
        "variant": variant,
        "figure": figure,
        "fitted": (workload, variant, figure) in _FITTED_FIGURES,
        "predicted": float(f"{predicted:.3g}"),
        **found,
    }


# What nobody has measured.


def sizes(model: Model, brokers: int, namespaces: int) -> Iterator[Line]:
    """At full load, and at parts of it."""
    system = model.system(brokers, namespaces=namespaces)
    full = model.full(system)
    for load in (*LOADS, 1.0):
        rate = load * full.steps_per_s
        # What has many transactions takes long to simulate, and settles soon.
        seconds = 0.15 if namespaces > 10 and load < LOADS[-1] else 0.5
        at = full if load == 1.0 else simulate(replace(system, rate=rate), seconds, seconds)
        yield {
            "brokers": brokers,
            "namespaces": namespaces,
            "owners": system.owners,
            "activity_workers": system.activity_workers,
            "load": load,
            **_figures(model, system, at),
        }


def _figures(model: Model, system: System, at: Outcome) -> Line:
    busy = dict(at.busy) | {"disks": model.disk(system.brokers, system.copies, at.steps_per_s)}
    del busy["client"]
    first = max(busy, key=lambda name: busy[name])
    return {
        "activities_per_s": round(at.steps_per_s),
        "p50_ms": round(at.p50_ms, 1),
        "p99_ms": round(at.p99_ms, 1),
        "batch": round(at.batch),
        "transactions_per_s": round(at.transactions_per_s),
        "busy": {name: round(share, 2) for name, share in busy.items()},
        # An owner waits for its commits: it carries no more long before its core is busy all the time.
        "limit": first if busy[first] >= FULL else "workflow workers",
    }


def loads(model: Model) -> Iterator[Line]:
    """Three brokers with more and more to do."""
    system = model.system(3)
    full = model.full(system).steps_per_s
    for load in PICTURE_LOADS:
        at = simulate(replace(system, rate=load * full))
        yield {"load": load, **_figures(model, system, at)}


def sweep(model: Model, systems: dict[str, System]) -> Iterator[Line]:
    for name, system in systems.items():
        yield {"at": name, **_figures(model, system, simulate(system))}


def half_load(model: Model) -> float:
    return model.full(model.system(SIZES[0])).steps_per_s / 2


def workers(model: Model) -> Iterator[Line]:
    """The same load and partitions, more and more workers."""
    counts = (OWNERS_EACH, 2 * OWNERS_EACH, 4 * OWNERS_EACH, 8 * OWNERS_EACH)
    rate = half_load(model)
    return sweep(
        model,
        {
            f"{count}": model.system(
                3, owners=count, partitions=PARTITIONS_IN_ALL // count, rate=rate
            )
            for count in counts
        },
    )


def partitions(model: Model) -> Iterator[Line]:
    """The same load and workers, more and more partitions."""
    rate = half_load(model)
    return sweep(
        model,
        {f"{each}": model.system(3, partitions=each, rate=rate) for each in (1, 2, 4, 8, 16)},
    )


def history(model: Model) -> Iterator[Line]:
    """What three brokers carry as heads grow: bytes alone, what they cost in CPU is not in the model."""
    full = model.full(model.system(3)).steps_per_s
    others = model.bytes_per_step - model.heads_per_step * model.head_bytes
    for head_bytes in (round(model.head_bytes), *HEADS_BYTES):
        bytes_per_step = others + model.heads_per_step * head_bytes
        by_disks = DISK_BYTES_PER_S / bytes_per_step  # three brokers, three copies
        yield {
            "head_bytes": head_bytes,
            "bytes_per_step": round(bytes_per_step),
            "activities_per_s": round(min(full, by_disks)),
            "limit": "disks" if by_disks < full else "workflow workers",
        }


def hot_keys(model: Model) -> Iterator[Line]:
    """One workflow ID gets a share of everything: so its owner does."""
    for share in HOT_SHARES:
        rest = (1 - share) / OWNERS_EACH
        yield {
            "share": share,
            **_skewed(model, (share + rest, *[rest] * (OWNERS_EACH - 1))),
        }


def skew(model: Model) -> Iterator[Line]:
    """The n-th of 52 partitions gets 1 / n to the power of an exponent; they are dealt out without looking."""
    each = System(model.costs).partitions
    for exponent in ZIPF_EXPONENTS:
        weights = [1 / (place + 1) ** exponent for place in range(OWNERS_EACH * each)]
        Random(SEED).shuffle(weights)  # noqa: S311
        sums = [sum(weights[owner::OWNERS_EACH]) for owner in range(OWNERS_EACH)]
        shares = tuple(part / sum(weights) for part in sums)
        yield {
            "exponent": exponent,
            "hottest_partition": round(max(weights) / sum(weights), 3),
            **_skewed(model, shares),
        }


def _skewed(model: Model, shares: tuple[float, ...]) -> Line:
    """Three brokers, with the hottest owner at 95 % of what it carries."""
    system = model.system(3)
    rate = FULL * model.full(system).steps_per_s / OWNERS_EACH / max(shares)
    at = simulate(replace(system, shares=shares, rate=rate))
    return {
        "hottest_owner": round(max(shares), 3),
        "activities_per_s": round(at.steps_per_s),
        "p99_ms": round(at.p99_ms, 1),
        "busiest_owner": round(at.busiest_owner, 2),
        "mean_owner": round(at.busy["workflow workers"], 2),
    }


def takeover(model: Model) -> Iterator[Line]:
    """Computed, not simulated: of a worker with four partitions, all read by one core."""
    each = System(model.costs).partitions
    for count in OPEN_WORKFLOWS:
        read_s = count / REBUILT_PER_S
        yield {
            "workflows_per_partition": count,
            "restart_s": round(RESTART_S + each * read_s, 1),
            "takeover_s": round(TAKEOVER_S + read_s, 1),
            "worker_gb": round(each * count * (model.head_bytes + MEMORY_BYTES) / 1e9, 1),
        }


PARTS: dict[str, Callable[[Model], Iterator[Line]]] = {
    "validation": validation,
    "3": lambda model: sizes(model, 3, 1),
    "30": lambda model: sizes(model, 30, 1),
    "30 in 10 namespaces": lambda model: sizes(model, 30, 10),
    "300": lambda model: sizes(model, 300, 1),
    "300 in 100 namespaces": lambda model: sizes(model, 300, 100),
    "loads": loads,
    "workers": workers,
    "partitions": partitions,
    "history": history,
    "hot keys": hot_keys,
    "skew": skew,
    "takeover": takeover,
}
