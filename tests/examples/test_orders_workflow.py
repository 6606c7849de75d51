"""The order desk's workflow without a log: the core in memory, under a virtual clock, with the real activities."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from examples.orders import workflow as order_desk
from examples.orders import world
from examples.orders.approvals import answer_for, approval_record
from examples.orders.expected import expect
from examples.orders.generate import ORDERS_FILE
from examples.orders.model import Category, Order
from examples.orders.reading import read_orders
from examples.orders.world import Execution, read_books

from tests.support.runs import DrivenRun
from weft import activity
from weft.activity import Activity, ActivityInfo, to_failure
from weft.codec import decode_signals, encode_payload
from weft.core import Input
from weft.records import (
    ActivityScheduled,
    AttemptCompleted,
    AttemptFailed,
    CancelWorkflow,
    SignalWorkflow,
)

ORDERS = read_orders(ORDERS_FILE).orders
ACTIVITIES = {each.name: each for each in vars(order_desk).values() if isinstance(each, Activity)}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "_PAUSE_MS_MIN", 0)
    monkeypatch.setattr(world, "_PAUSE_MS_MAX", 0)


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the outside world writes down what is done."""
    path = tmp_path / "books.jsonl"
    path.touch()
    monkeypatch.setenv(world.BOOKS, str(path))
    return path


def attempted(run: DrivenRun, activity_id: int, attempt: int) -> Input:
    """Run one attempt of an activity as a worker would: its result, or its failure."""
    task = run.run.activities[activity_id]
    definition = ACTIVITIES[task.name]
    info = ActivityInfo(
        run.run.workflow_id, run.run.run_id, run.run.workflow, task.name, activity_id, attempt
    )
    token = activity.current.set(info)
    try:
        result = asyncio.run(definition(*definition.decode_input(task.input)))
    except Exception as error:  # noqa: BLE001  # whatever it raises is its failure
        return AttemptFailed(run.run.run_id, activity_id, attempt, to_failure(error))
    finally:
        activity.current.reset(token)
    return AttemptCompleted(run.run.run_id, activity_id, attempt, encode_payload(result))


def work(run: DrivenRun, done: int = 0) -> int:
    """Run activities, and let time pass for retries, until the run waits for something else or has ended."""
    while done < len(run.dispatched) or any(
        open_activity.waiting for open_activity in run.run.activities.values()
    ):
        if done == len(run.dispatched):
            run.advance_to_next()
            continue
        activity_id, attempt = run.dispatched[done]
        done += 1
        run.give(attempted(run, activity_id, attempt))
    return done


def fulfilled(order: Order, *, replayed: bool = False) -> DrivenRun:
    """The order's run, brought to its end; approvals come as they do in the demonstration."""
    run = DrivenRun(order_desk.fulfil, order, workflow_id=order.id, replayed=replayed)
    answer = answer_for(order.id) if order.needs_approval else "silent"
    record = decode_signals(approval_record(order.id))
    assert isinstance(record, SignalWorkflow)
    done = work(run)
    if answer in {"approve", "approve_twice", "refuse"}:
        run.give(record)
    if answer == "approve_twice":
        run.give(record)
    done = work(run, done)
    if not run.run.ended:
        run.advance(order_desk.APPROVAL_TIMEOUT)
        work(run, done)
    run.close()
    return run


def first_order(category: Category, *, needs_approval: bool) -> Order:
    return next(
        order
        for order in ORDERS
        if expect(order).category == category and order.needs_approval == needs_approval
    )


def took_effect(executions: list[Execution]) -> list[str]:
    return [execution.activity for execution in executions if not execution.error]


@pytest.mark.requirement("R2-37")
def test_every_order_of_the_file_ends_as_it_was_calculated(books: Path) -> None:
    categories: Counter[str] = Counter()
    for order in ORDERS:
        outcome = fulfilled(order).result
        expected = expect(order)
        assert outcome["category"] == expected.category, order
        executions = read_books(books)
        books.write_text("")
        assert Counter(took_effect(executions)) == expected.effects, order
        failures = Counter((each.activity, each.error) for each in executions if each.error)
        assert failures == expected.failures, order
        categories[expected.category] += 1
    assert categories == {"shipped": 884, "declined": 30, "refunded": 49, "timed_out": 17}


@pytest.mark.parametrize(
    "category,needs_approval",
    [
        ("shipped", False),
        ("shipped", True),
        ("declined", False),
        ("declined", True),
        ("refunded", False),
        ("refunded", True),
        ("timed_out", True),
    ],
)
def test_order_ends_the_same_when_it_is_replayed_after_every_event(
    category: Category, needs_approval: bool
) -> None:
    """Also shows the workflow deterministic: each replay must ask for what the history holds."""
    order = first_order(category, needs_approval=needs_approval)
    assert fulfilled(order, replayed=True).result["category"] == category


@pytest.mark.requirement("R2-29")
def test_all_lines_are_picked_at_once() -> None:
    order = next(order for order in ORDERS if len(order.lines) == 5)
    run = fulfilled(order)
    batches: list[int] = []
    before = ""
    for event in run.events:
        name = event.activity if isinstance(event, ActivityScheduled) else ""
        if name == "pick":
            batches = [*batches[:-1], batches[-1] + 1] if before == "pick" else [*batches, 1]
        before = name
    assert batches == [5], "five picks are scheduled in a row, before any of them is done"


def test_what_was_done_is_undone_last_step_first_when_the_carrier_refuses(books: Path) -> None:
    order = next(
        order for order in ORDERS if world.address_is_refused(order.id) and not order.needs_approval
    )
    outcome = fulfilled(order).result
    assert outcome == {
        "category": "refunded",
        "reason": "the carrier does not go there",
        "tracking": "",
    }
    steps = ["reserve_stock", "charge", *["pick"] * len(order.lines), "refund", "release_stock"]
    assert took_effect(read_books(books)) == steps


def test_only_the_reservation_is_undone_when_the_card_is_declined(books: Path) -> None:
    order = first_order("declined", needs_approval=False)
    fulfilled(order)
    executions = [(each.activity, each.attempt, each.error) for each in read_books(books)]
    assert executions == [
        ("reserve_stock", 1, ""),
        ("charge", 1, "CardDeclined"),
        ("release_stock", 1, ""),
    ]


@pytest.mark.requirement("R1-13")
def test_charge_is_tried_again_with_one_idempotency_key_when_the_terminal_is_down(
    books: Path,
) -> None:
    order = next(order for order in ORDERS if world.card_terminal_failures(order.id) == 2)
    fulfilled(order)
    charges = [each for each in read_books(books) if each.activity == "charge"]
    assert [(each.attempt, each.error) for each in charges] == [
        (1, "CardTerminalDown"),
        (2, "CardTerminalDown"),
        (3, ""),
    ]
    assert len({each.key for each in charges}) == 1


def test_large_order_waits_for_its_approval_and_no_longer_than_the_timeout() -> None:
    order = next(
        order for order in ORDERS if order.needs_approval and answer_for(order.id) == "silent"
    )
    with DrivenRun(order_desk.fulfil, order, workflow_id=order.id, replayed=False) as run:
        done = work(run)
        waited_from_ms = run.now_ms
        assert run.open == []
        assert run.advance_to_next()
        assert run.now_ms - waited_from_ms == order_desk.APPROVAL_TIMEOUT.total_seconds() * 1000
        work(run, done)
        assert run.result == {
            "category": "timed_out",
            "reason": "not approved in time",
            "tracking": "",
        }


def test_order_is_undone_and_fails_when_its_approval_is_no_approval(books: Path) -> None:
    order = first_order("shipped", needs_approval=True)
    with DrivenRun(order_desk.fulfil, order, workflow_id=order.id, replayed=False) as run:
        done = work(run)
        run.signal("approval", {"approved": "perhaps"})
        work(run, done)
        assert run.status == "failed"
        assert "approved" in run.failure.message, "the field is named"
    assert took_effect(read_books(books))[-2:] == ["refund", "release_stock"]


@pytest.mark.requirement("R1-15")
def test_order_is_undone_and_ends_cancelled_when_it_is_cancelled_while_it_waits(
    books: Path,
) -> None:
    order = first_order("shipped", needs_approval=True)
    with DrivenRun(order_desk.fulfil, order, workflow_id=order.id) as run:
        done = work(run)
        run.give(CancelWorkflow("the customer changed her mind"))
        work(run, done)
        assert run.status == "cancelled"
    assert took_effect(read_books(books))[-2:] == ["refund", "release_stock"]
