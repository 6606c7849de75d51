"""Does the check of the demonstration notice it when something is wrong? Evidence is made up, then tampered with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from examples.orders import world
from examples.orders.check import check
from examples.orders.evidence import Event, Evidence, RunFacts, State, Told
from examples.orders.expected import expect
from examples.orders.generate import ORDERS_FILE
from examples.orders.model import Order
from examples.orders.reading import read_orders
from examples.orders.report import Report
from examples.orders.world import Execution

CHECKOUT = Path(__file__).parents[2]
LINES = 100
BOOK = read_orders(ORDERS_FILE, LINES)
SHIPPED = next(order for order in BOOK.orders if expect(order).category == "shipped")
REFUNDED = next(order for order in BOOK.orders if expect(order).category == "refunded")
KILLED_MS = 1_000


def outcome_of(order: Order) -> dict[str, str]:
    return {"category": expect(order).category, "reason": "", "tracking": ""}


def run_id_of(order: Order) -> str:
    return f"run-{order.id}"


def executions_of(order: Order) -> list[Execution]:
    """What the world writes down when all goes as it must: failed attempts of a step first, then its effects."""
    expected = expect(order)
    executions: list[Execution] = []

    def write_down(activity: str, number: int, attempt: int, error: str) -> None:
        key = f"{order.id}/{activity}/{number}"
        executions.append(Execution(order.id, activity, key, attempt, error, 1, KILLED_MS + 1))

    attempts: Counter[str] = Counter()
    for (activity, error), times in expected.failures.items():
        for _ in range(times):
            attempts[activity] += 1
            write_down(activity, 0, attempts[activity], error)
    for activity, count in expected.effects.items():
        for number in range(count):
            write_down(activity, number, 1 if number else attempts[activity] + 1, "")
    return executions


@pytest.fixture
def evidence() -> Evidence:
    """That of a run in which everything went as it must."""
    orders = BOOK.orders
    return Evidence(
        run=RunFacts("embedded", LINES, 1.5, [KILLED_MS]),
        book=BOOK,
        told=[Told(order.id, run_id_of(order), outcome_of(order)) for order in orders],
        events=[
            Event(order.id, run_id_of(order), kind)
            for order in orders
            for kind in ("started", "completed")
        ],
        states=[
            State(order.id, run_id_of(order), "completed", outcome_of(order)) for order in orders
        ],
        executions=[execution for order in orders for execution in executions_of(order)],
    )


def test_sums_hold_when_everything_went_as_it_must(evidence: Evidence) -> None:
    report = check(evidence)
    assert report == Report(
        backend="embedded",
        orders_read=100,
        rejected=BOOK.rejected,
        started=98,
        ended={"shipped": 88, "declined": 4, "refunded": 5, "timed_out": 1},
        lost=0,
        completed_twice=0,
        activities_run=521,
        retries=14,
        activities_run_more_than_once=0,
        workers_killed=1,
        seconds=1.5,
        differences=[],
    )
    assert report.holds


@pytest.mark.parametrize(
    "pid,time_ms",
    [
        pytest.param(2, KILLED_MS + 2, id="after a kill"),
        pytest.param(1, KILLED_MS + 2, id="after a kill, by the same worker"),
        pytest.param(2, KILLED_MS - 1, id="by a worker that has just joined"),
    ],
)
def test_repeated_activity_is_counted_and_allowed(
    evidence: Evidence, pid: int, time_ms: int
) -> None:
    again = replace(evidence.executions[0], pid=pid, time_ms=time_ms)
    report = check(replace(evidence, executions=[*evidence.executions, again]))
    assert report.holds
    assert report.activities_run == 522
    assert report.activities_run_more_than_once == 1


def lose_a_completion(evidence: Evidence) -> Evidence:
    events = [
        event
        for event in evidence.events
        if (event.order_id, event.type) != (SHIPPED.id, "completed")
    ]
    return replace(evidence, events=events)


def lose_an_order(evidence: Evidence) -> Evidence:
    return Evidence(
        run=evidence.run,
        book=evidence.book,
        told=[each for each in evidence.told if each.order_id != SHIPPED.id],
        events=[each for each in evidence.events if each.order_id != SHIPPED.id],
        states=[each for each in evidence.states if each.order_id != SHIPPED.id],
        executions=[each for each in evidence.executions if each.order_id != SHIPPED.id],
    )


def complete_twice(evidence: Evidence) -> Evidence:
    again = Event(SHIPPED.id, run_id_of(SHIPPED), "completed")
    return replace(evidence, events=[*evidence.events, again])


def run_twice(evidence: Evidence) -> Evidence:
    more = [Event(SHIPPED.id, "another run", kind) for kind in ("started", "completed")]
    return replace(evidence, events=[*evidence.events, *more])


def tell_another_outcome(evidence: Evidence) -> Evidence:
    told = [
        replace(each, outcome={**each.outcome, "category": "refunded"})
        if each.order_id == SHIPPED.id and each.outcome
        else each
        for each in evidence.told
    ]
    return replace(evidence, told=told)


def fail_a_run(evidence: Evidence) -> Evidence:
    told = [
        Told(each.order_id, each.run_id, None, "failed: no more boxes")
        if each.order_id == SHIPPED.id
        else each
        for each in evidence.told
    ]
    return replace(evidence, told=told)


def change_the_state(evidence: Evidence) -> Evidence:
    states = [
        replace(each, status="running", outcome=None) if each.order_id == SHIPPED.id else each
        for each in evidence.states
    ]
    return replace(evidence, states=states)


def _without(evidence: Evidence, order: Order, activity: str) -> Evidence:
    executions = [
        each
        for each in evidence.executions
        if (each.order_id, each.activity) != (order.id, activity)
    ]
    return replace(evidence, executions=executions)


def forget_a_refund(evidence: Evidence) -> Evidence:
    return _without(evidence, REFUNDED, "refund")


def forget_a_pick(evidence: Evidence) -> Evidence:
    return _without(evidence, SHIPPED, "pick")


def charge_twice(evidence: Evidence) -> Evidence:
    charge = next(
        each
        for each in evidence.executions
        if (each.order_id, each.activity) == (SHIPPED.id, "charge")
    )
    again = replace(charge, key="another key")
    return replace(evidence, executions=[*evidence.executions, again])


def ship_what_was_refunded(evidence: Evidence) -> Evidence:
    shipped = Execution(REFUNDED.id, "ship", "a key", 1, "", 1, KILLED_MS + 1)
    return replace(evidence, executions=[*evidence.executions, shipped])


def fail_once_too_often(evidence: Evidence) -> Evidence:
    failed = Execution(
        SHIPPED.id, "ship", f"{SHIPPED.id}/ship/0", 7, "AddressRefused", 1, KILLED_MS + 1
    )
    return replace(evidence, executions=[*evidence.executions, failed])


def repeat_before_any_kill(evidence: Evidence) -> Evidence:
    again = replace(evidence.executions[0], time_ms=KILLED_MS - 1)
    return replace(evidence, executions=[*evidence.executions, again])


def serve_an_unknown_order(evidence: Evidence) -> Evidence:
    return replace(evidence, events=[*evidence.events, Event("order-9999", "run", "started")])


DIFFERENCES: list[tuple[Callable[[Evidence], Evidence], str, list[str]]] = [
    (lose_a_completion, SHIPPED.id, ["never ended: lost"]),
    (complete_twice, SHIPPED.id, ["ended 2 times"]),
    (
        run_twice,
        SHIPPED.id,
        ["was started 2 times", "ended 2 times", "the witnesses speak of 2 runs"],
    ),
    (
        forget_a_refund,
        REFUNDED.id,
        [
            "refund took effect 0 times instead of 1",
            "was charged, but neither shipped nor refunded",
        ],
    ),
    (forget_a_pick, SHIPPED.id, [f"pick took effect 0 times instead of {len(SHIPPED.lines)}"]),
    (charge_twice, SHIPPED.id, ["charge took effect 2 times instead of 1"]),
    (
        ship_what_was_refunded,
        REFUNDED.id,
        ["ship took effect 1 times instead of 0", "was shipped and refunded"],
    ),
    (
        fail_once_too_often,
        SHIPPED.id,
        ["ship with AddressRefused failed 1 times instead of 0"],
    ),
    (
        repeat_before_any_kill,
        BOOK.orders[0].id,
        ["reserve_stock was run again by a worker that nothing had happened to"],
    ),
    (
        serve_an_unknown_order,
        "order-9999",
        ["is no order of the file, but something happened to it"],
    ),
]


@pytest.mark.parametrize("tamper,order_id,differences", DIFFERENCES)
def test_sums_do_not_hold_and_the_order_is_named(
    evidence: Evidence,
    tamper: Callable[[Evidence], Evidence],
    order_id: str,
    differences: list[str],
) -> None:
    report = check(tamper(evidence))
    assert not report.holds
    assert report.differences == [f"{order_id}: {text}" for text in differences]


@pytest.mark.parametrize(
    "tamper", [lose_an_order, tell_another_outcome, fail_a_run, change_the_state]
)
def test_sums_do_not_hold_when_the_witnesses_differ(
    evidence: Evidence, tamper: Callable[[Evidence], Evidence]
) -> None:
    report = check(tamper(evidence))
    assert report.differences
    assert all(text.startswith(f"{SHIPPED.id}: ") for text in report.differences)


@pytest.mark.parametrize(
    "tamper,lost,completed_twice",
    [(lose_an_order, 1, 0), (lose_a_completion, 1, 0), (complete_twice, 0, 1), (run_twice, 0, 1)],
)
def test_lost_orders_and_those_completed_twice_are_counted(
    evidence: Evidence, tamper: Callable[[Evidence], Evidence], lost: int, completed_twice: int
) -> None:
    report = check(tamper(evidence))
    assert (report.lost, report.completed_twice) == (lost, completed_twice)


def test_expectation_charges_nobody_whose_card_is_declined() -> None:
    order = next(order for order in BOOK.orders if world.card_is_declined(order.id))
    expected = expect(order)
    assert expected.category == "declined"
    assert expected.effects == {"reserve_stock": 1, "release_stock": 1}
    assert expected.failures == {("charge", "CardDeclined"): 1}


def test_command_ends_with_status_2_when_there_is_no_evidence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.orders.check", str(tmp_path)]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "does not hold the evidence of a run" in ended.stderr
    (tmp_path / "run.json").write_text(json.dumps({"colour": "red"}))
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
