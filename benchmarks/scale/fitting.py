"""Costs that are fitted, so that the model does what two rows of the benchmarks did: W1 at 2,000 in flight, and W2.

W1's CPU by process gives what a record costs. W2's CPU gives what a batch costs a worker, and its p50 the trips: with
one workflow at a time every batch has one record. What a transaction costs a broker was measured (`transactions`).
Throughput, batches and latency under load are not fitted: they come out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.processes import BenchmarkError
from benchmarks.scale.costs import RECORDS_PER_STEP, TRANSACTIONS, Costs, broker_costs, line_of
from benchmarks.scale.model import Run, System
from benchmarks.stage import Line
from benchmarks.table import RESULTS, read

FITTED = (("W1", "queued, 2000 in flight"), ("W2", "queued"))
ROUNDS = 6
_COST_MIN = 1e-6
_TRIP_MIN_S = 50e-6


def benchmark(costs: Costs, **settings: Any) -> System:
    """The benchmarks' system: everything on two cores, one broker, no copies, four partitions."""
    return replace(System(costs, copies=1, shared_cores=2), **settings)


def fitted(lines: list[Line] | None = None) -> Costs:
    """Raises BenchmarkError when one of the fitted rows was not measured."""
    lines = read(RESULTS) if lines is None else lines
    wide, single = (line_of(lines, *row) for row in FITTED)
    if wide is None or single is None:
        rows = " and ".join(f"{workload} ({variant})" for workload, variant in FITTED)
        raise BenchmarkError(f"{RESULTS.name} needs {rows} on Kafka: costs are fitted to them")
    costs = Costs(
        worker_transaction=500e-6,
        worker_record=50e-6,
        activity_batch=200e-6,
        activity_step=30e-6,
        client_workflow=50e-6,
        broker_record=50e-6,
        trip_s=300e-6,
        **broker_costs(read(TRANSACTIONS)),
    )
    for _ in range(ROUNDS):
        costs = _with_records(costs, wide)
        costs = _with_batches(costs, single)
    return costs


def _with_records(costs: Costs, line: Line) -> Costs:
    run = Run(benchmark(costs, in_flight=2000))
    run.clock.run(2.0)
    run.forget()
    run.clock.run(8.0)
    steps = run.step_latencies.count
    activities = line["workflows"] * 5
    missing = {name: line["cpu_s"][name] / activities - used / steps for name, used in cpu_s(run)}
    return replace(
        costs,
        worker_record=_more(costs.worker_record, missing["workflow_worker"] / RECORDS_PER_STEP),
        activity_step=_more(costs.activity_step, missing["activity_worker"]),
        client_workflow=_more(costs.client_workflow, missing["client"] * 5),
        broker_record=_more(costs.broker_record, missing["broker"] / RECORDS_PER_STEP),
    )


def _with_batches(costs: Costs, line: Line) -> Costs:
    run = Run(benchmark(costs, in_flight=1, steps=1))
    run.clock.run(5.0)
    missing = {
        name: line["cpu_s"][name] / line["runs"] - used / run.ended for name, used in cpu_s(run)
    }
    missing_s = line["p50_ms"] / 1000 - run.clock.now_s / run.ended
    return replace(
        costs,
        worker_transaction=_more(costs.worker_transaction, missing["workflow_worker"] / 2),
        activity_batch=_more(costs.activity_batch, missing["activity_worker"]),
        trip_s=max(_TRIP_MIN_S, costs.trip_s + missing_s / TRIPS),
    )


TRIPS = 13
"""Of a workflow with one activity, from its start to its result: four a transaction, and those of the plain writes."""


def cpu_s(run: Run) -> list[tuple[str, float]]:
    """CPU seconds by process, as the benchmarks' lines name them."""
    return [
        ("workflow_worker", sum(owner.lock.busy_s for owner in run.owners)),
        ("activity_worker", sum(worker.lock.busy_s for worker in run.activity_workers)),
        ("client", run.client.lock.busy_s if run.client else 0.0),
        ("broker", sum(broker.busy_s for broker in run.brokers)),
    ]


def _more(cost: float, missing: float) -> float:
    return max(_COST_MIN, cost + missing)
