"""The order desk's workflow in the test kit: virtual time, with the real activities."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from examples.orders import workflow as order_desk
from examples.orders import world
from examples.orders.approvals import answer_for, approval_record
from examples.orders.expected import expect
from examples.orders.generate import ORDERS_FILE
from examples.orders.model import Category, Order, Outcome
from examples.orders.reading import read_orders
from examples.orders.world import Execution, read_books

from weft.codec import decode_payload, decode_signals
from weft.errors import WorkflowFailedError
from weft.records import ActivityScheduled, SignalWorkflow, TimerStarted
from weft.testing import Environment, Handle, crash_everywhere

ORDERS = read_orders(ORDERS_FILE).orders
SENT_COUNT = {"approve": 1, "approve_twice": 2, "refuse": 1, "late": 0, "silent": 0}


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the outside world writes down what is done."""
    path = tmp_path / "books.jsonl"
    path.touch()
    monkeypatch.setenv(world.BOOKS, str(path))
    return path


def decide_approval(run: Handle[Any], order: Order) -> None:
    """Approvals come as they do in the demonstration, half of the time that there is for them later."""
    record = decode_signals(approval_record(order.id))
    assert isinstance(record, SignalWorkflow)
    for _ in range(SENT_COUNT[answer_for(order.id)] if order.needs_approval else 0):
        payload = decode_payload(record.payload)
        run.signal(record.signal, payload, after=order_desk.APPROVAL_TIMEOUT / 2, id=record.id)


def started(env: Environment, order: Order) -> Handle[Outcome]:
    run = env.start(order_desk.fulfil, order, id=order.id)
    decide_approval(run, order)
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
def test_every_order_of_the_file_ends_as_it_was_calculated(env: Environment, books: Path) -> None:
    categories: Counter[str] = Counter()
    for order in ORDERS:
        outcome = started(env, order).result()
        expected = expect(order)
        assert outcome.category == expected.category, order
        executions = read_books(books)
        books.write_text("")
        assert Counter(took_effect(executions)) == expected.effects, order
        failures = Counter((each.activity, each.error) for each in executions if each.error)
        assert failures == expected.failures, order
        categories[expected.category] += 1
    assert categories == {"shipped": 884, "declined": 30, "refunded": 49, "timed_out": 17}


@pytest.mark.requirement("R1-28")
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
def test_order_ends_the_same_when_its_worker_crashes_anywhere(
    category: Category, needs_approval: bool
) -> None:
    order = first_order(category, needs_approval=needs_approval)
    outcome = crash_everywhere(
        order_desk.fulfil,
        order,
        id=order.id,
        play=lambda _env, run: decide_approval(run, order),
    )
    assert outcome is not None
    assert outcome.category == category


@pytest.mark.requirement("R2-29")
def test_all_lines_are_picked_at_once(env: Environment) -> None:
    order = next(order for order in ORDERS if len(order.lines) == 5)
    run = started(env, order)
    run.result()
    batches: list[int] = []
    before = ""
    for event in run.history:
        name = event.activity if isinstance(event, ActivityScheduled) else ""
        if name == "pick":
            batches = [*batches[:-1], batches[-1] + 1] if before == "pick" else [*batches, 1]
        before = name
    assert batches == [5], "five picks are scheduled in a row, before any of them is done"


def test_what_was_done_is_undone_last_step_first_when_the_carrier_refuses(
    env: Environment, books: Path
) -> None:
    order = next(
        order for order in ORDERS if world.address_is_refused(order.id) and not order.needs_approval
    )
    outcome = started(env, order).result()
    assert outcome == Outcome("refunded", "the carrier does not go there")
    steps = ["reserve_stock", "charge", *["pick"] * len(order.lines), "refund", "release_stock"]
    assert took_effect(read_books(books)) == steps


def test_only_the_reservation_is_undone_when_the_card_is_declined(
    env: Environment, books: Path
) -> None:
    started(env, first_order("declined", needs_approval=False)).result()
    executions = [(each.activity, each.attempt, each.error) for each in read_books(books)]
    assert executions == [
        ("reserve_stock", 1, ""),
        ("charge", 1, "CardDeclined"),
        ("release_stock", 1, ""),
    ]


@pytest.mark.requirement("R1-13")
def test_charge_is_tried_again_with_one_idempotency_key_when_the_terminal_is_down(
    env: Environment, books: Path
) -> None:
    order = next(order for order in ORDERS if world.card_terminal_failures(order.id) == 2)
    started(env, order).result()
    charges = [each for each in read_books(books) if each.activity == "charge"]
    assert [(each.attempt, each.error) for each in charges] == [
        (1, "CardTerminalDown"),
        (2, "CardTerminalDown"),
        (3, ""),
    ]
    assert len({each.key for each in charges}) == 1


def test_large_order_waits_for_its_approval_and_no_longer_than_the_timeout(
    env: Environment,
) -> None:
    order = next(
        order for order in ORDERS if order.needs_approval and answer_for(order.id) == "silent"
    )
    run = started(env, order)
    assert run.result() == Outcome("timed_out", "not approved in time")
    (timer,) = (event for event in run.history if isinstance(event, TimerStarted))
    assert timedelta(milliseconds=timer.due_ms - timer.time_ms) == order_desk.APPROVAL_TIMEOUT


def test_order_is_undone_and_fails_when_its_approval_is_no_approval(
    env: Environment, books: Path
) -> None:
    order = first_order("shipped", needs_approval=True)
    run = env.start(order_desk.fulfil, order, id=order.id)
    run.signal("approval", {"approved": "perhaps"})
    with pytest.raises(WorkflowFailedError, match="approved") as caught:
        run.result()
    assert caught.value.status == "failed"
    assert took_effect(read_books(books))[-2:] == ["refund", "release_stock"]


@pytest.mark.requirement("R1-15")
def test_order_is_undone_and_ends_cancelled_when_it_is_cancelled_while_it_waits(
    env: Environment, books: Path
) -> None:
    order = first_order("shipped", needs_approval=True)
    run = env.start(order_desk.fulfil, order, id=order.id)
    run.cancel("the customer changed her mind", after=order_desk.APPROVAL_TIMEOUT / 2)
    assert run.wait() == "cancelled"
    assert took_effect(read_books(books))[-2:] == ["refund", "release_stock"]
