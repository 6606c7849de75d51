"""The model of docs/scale.md: what must hold of it whatever the costs are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.scale.actors import RECORDS_MAX, ages_of
from benchmarks.scale.costs import SERIAL_SHARE, Costs
from benchmarks.scale.kernel import Cohort, Cores, Latencies, split
from benchmarks.scale.model import Outcome, Run, System, simulate

COSTS = Costs(
    worker_transaction=1e-3,
    worker_record=50e-6,
    activity_batch=500e-6,
    activity_step=30e-6,
    client_workflow=50e-6,
    broker_record=40e-6,
    broker_transaction=500e-6,
    broker_offsets=700e-6,
    broker_partition=250e-6,
    broker_write=75e-6,
    trip_s=300e-6,
)
SMALL = System(COSTS, brokers=3, owners=4, activity_workers=3)
ON_ONE_MACHINE = System(COSTS, copies=1, shared_cores=2, in_flight=200)


@pytest.mark.parametrize(
    "system",
    [
        replace(SMALL, in_flight=40),
        replace(SMALL, in_flight=8_000),
        ON_ONE_MACHINE,
        replace(ON_ONE_MACHINE, owners=2, partitions=2, together=True),
    ],
)
def test_workflows_in_flight_are_their_rate_times_their_time(system: System) -> None:
    """Little's law: none is lost, none is made."""
    run = Run(system)
    run.clock.run(1.0)
    run.forget()
    run.clock.run(5.0)
    stretches = [run.step_latencies, run.end_latencies, run.client_latencies]
    in_flight = sum(stretch.sum_s for stretch in stretches) / 4.0
    assert in_flight == pytest.approx(system.in_flight, rel=0.02)
    assert run.step_latencies.count == pytest.approx(system.steps * run.ended, rel=0.02)


def test_backlog_is_done_to_the_last_record_and_no_more() -> None:
    run = Run(replace(SMALL, steps=3, backlog=10_001))
    run.clock.run(10.0)
    assert run.ended == 10_001
    assert run.records == 4 * 10_001
    assert all(not process.waiting for process in (*run.owners, *run.activity_workers))


@pytest.mark.parametrize(
    "system",
    [
        replace(SMALL, in_flight=40_000),
        replace(SMALL, rate=1e6),
        replace(SMALL, in_flight=40_000, activity_workers=1),
        replace(SMALL, in_flight=40_000, brokers=1, broker_cores=2),
        replace(ON_ONE_MACHINE, in_flight=4_000),
    ],
)
def test_nothing_carries_more_than_it_has_time_for(system: System) -> None:
    found = simulate(system, 2.0, 0.5)
    slack = 1.02  # what was begun before the measured time ends in it
    assert all(share <= slack for share in found.busy.values()), found.busy
    assert max(found.busiest_owner, found.busiest_broker) <= slack
    owners_s = found.steps_per_s * COSTS.worker_record * (1 + 1 / system.steps) / system.owners
    assert 0.0 < owners_s <= slack
    assert found.steps_per_s * COSTS.activity_step <= slack * system.activity_workers


def test_rate_comes_through_when_there_is_room_for_it() -> None:
    found = simulate(replace(SMALL, rate=20_000.0), 4.0)
    assert found.steps_per_s == pytest.approx(20_000.0, rel=0.03)
    assert found.ends_per_s == pytest.approx(4_000.0, rel=0.03)


def test_batches_grow_and_transactions_become_fewer_as_load_grows() -> None:
    found = [
        simulate(replace(SMALL, rate=rate), 0.4, 0.2)
        for rate in (500.0, 5_000.0, 20_000.0, 50_000.0)
    ]
    batches = [each.batch for each in found]
    assert batches == sorted(batches)
    assert batches[-1] > 10 * batches[0]
    steps = [each.transactions_per_s / each.steps_per_s for each in found]
    assert steps == sorted(steps, reverse=True)
    assert max(each.batch for each in found) <= RECORDS_MAX


def test_step_takes_no_less_than_its_trips_when_nothing_else_is_there() -> None:
    found = simulate(replace(SMALL, copies=1, in_flight=1, owners=1), 4.0)
    assert found.batch == 1.0
    work_s = COSTS.worker_transaction + COSTS.worker_record + COSTS.activity_batch
    assert found.p50_ms / 1000 > work_s + 3 * COSTS.trip_s
    assert found.p50_ms <= found.p99_ms


def test_group_has_so_many_transactions_whatever_is_added() -> None:
    dear = replace(COSTS, broker_offsets=10e-3)
    system = System(dear, brokers=3, owners=20, activity_workers=10, rate=4_000.0)
    alone, with_more = simulate(system), simulate(replace(system, brokers=6, owners=40))
    most = 1 / (dear.broker_offsets * SERIAL_SHARE)
    for found in (alone, with_more):
        assert found.transactions_per_s == pytest.approx(most, rel=0.05)
        assert found.busy["group coordinator"] == pytest.approx(1.0, rel=0.05)
    assert with_more.batch == pytest.approx(alone.batch, rel=0.25)
    assert with_more.p50_ms > 1.5 * alone.p50_ms
    relieved = simulate(replace(system, brokers=6, owners=40, namespaces=6))
    assert relieved.transactions_per_s > 1.5 * with_more.transactions_per_s
    assert relieved.p99_ms < with_more.p50_ms


def test_owner_with_most_of_the_load_is_the_busiest() -> None:
    even = simulate(replace(SMALL, rate=20_000.0), 0.5, 0.3)
    hot = simulate(replace(SMALL, rate=20_000.0, shares=(0.7, 0.1, 0.1, 0.1)), 0.5, 0.3)
    assert hot.busiest_owner > 1.2 * even.busiest_owner
    assert hot.steps_per_s == pytest.approx(even.steps_per_s, rel=0.05)


def test_seed_repeats_a_simulation() -> None:
    def outcome(seed: int) -> Outcome:
        return simulate(replace(SMALL, rate=9_000.0, seed=seed), 0.2, 0.2)

    assert outcome(1) == outcome(1)
    assert outcome(1) != outcome(2)


def test_cores_serve_who_comes_first() -> None:
    cores = Cores(2)
    assert [cores.done_s(0.0, 3.0), cores.done_s(0.0, 1.0), cores.done_s(0.5, 1.0)] == [
        3.0,
        1.0,
        2.0,
    ]
    assert cores.busy_s == 5.0


@pytest.mark.parametrize(
    "count,parts,expected",
    [(7, 3, [3, 2, 2]), (8, 3, [3, 3, 2]), (0, 2, [0, 0]), (1, 3, [1, 0, 0])],
)
def test_split_shares_out_evenly(count: int, parts: int, expected: list[int]) -> None:
    assert split(count, parts) == expected


def test_parts_of_a_batch_are_as_old_as_their_records() -> None:
    batch = [Cohort(2, 1.0, 0), Cohort(6, 2.0, 0), Cohort(2, 5.0, 0)]
    assert list(ages_of(batch, [4, 0, 3, 3])) == [1.5, 0.0, 2.0, 4.0]


def test_quantiles_are_right_to_two_percent() -> None:
    latencies = Latencies()
    for number in range(1, 101):
        latencies.add(number / 1000, 10)
    assert latencies.quantile_ms(0.5) == pytest.approx(50, rel=0.04)
    assert latencies.quantile_ms(0.99) == pytest.approx(99, rel=0.04)
    assert latencies.count == 1000
