"""A trip with children in two namespaces: in virtual time, crashed everywhere, and on both logs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from examples.trip.billing import CreditLimit, charge, make_invoice
from examples.trip.workflow import (
    BILLING,
    Booking,
    Trip,
    book_trip,
    hold_seat,
    release_seat,
    reserve,
)

from tests.support.serving import make_topics, serving
from weft.client import Client
from weft.errors import Failure
from weft.log import Log
from weft.records import ChildScheduled, WorkflowStarted
from weft.testing import Environment, crash_everywhere

TRIP = Trip("Ada", ["Oslo-Bergen", "Bergen-Oslo"])
BOOKED = Booking(["Oslo-Bergen/12A", "Bergen-Oslo/12A"], "invoice-Ada-2")


@pytest.mark.requirement("R3-15")
def test_trip_is_booked_by_children_in_two_namespaces(env: Environment) -> None:
    env.serve(make_invoice)
    run = env.start(book_trip, TRIP, id="trip-1")
    assert run.result() == BOOKED
    assert [child.status for child in run.children] == ["completed"] * 3
    (invoice,) = [event for event in run.history if isinstance(event, ChildScheduled)][2:]
    assert invoice.namespace == BILLING
    assert env.calls(release_seat) == []


def test_seats_are_given_back_when_there_is_no_invoice(env: Environment) -> None:
    env.fake_child("make_invoice", CreditLimit("too much", non_retryable=True))
    run = env.start(book_trip, TRIP)
    assert run.result() == Booking([], "", "CreditLimit: too much")
    assert len(env.calls(release_seat)) == 2
    assert len(env.child_calls("make_invoice")) == 1, "it is not tried again"


def test_invoice_is_tried_again_when_the_other_department_fails(env: Environment) -> None:
    env.fake_child("make_invoice", Failure("the printer is out of paper"), "invoice-7")
    assert env.start(book_trip, TRIP).result().invoice == "invoice-7"


@pytest.mark.requirement("R3-16")
def test_reservations_clean_up_when_the_trip_is_terminated(env: Environment) -> None:
    env.fake_child("make_invoice", "late", takes=timedelta(minutes=4))
    run = env.start(book_trip, TRIP)
    run.terminate("the traveller is ill", after=60)
    assert run.wait() == "terminated"
    assert [child.wait() for child in run.children] == ["cancelled"] * 2
    assert len(env.calls(release_seat)) == 2


def test_trip_comes_through_a_crash_at_every_event() -> None:
    def play(env: Environment, _run: object) -> None:
        env.serve(make_invoice)

    assert crash_everywhere(book_trip, TRIP, play=play) == BOOKED


@pytest.mark.requirement("R3-15", "R3-19")
def test_departments_work_together_on_a_log(log: Log, namespace: str) -> None:
    """Each has its own topics, with its own partition count, and its own worker."""
    billing = f"{namespace}-billing"
    make_topics(log, namespace, partitions=2)
    make_topics(log, billing, partitions=3)

    async def run() -> tuple[Booking, list[WorkflowStarted]]:
        travel = serving(log, namespace, [book_trip, reserve], [hold_seat, release_seat])
        other = serving(log, billing, [make_invoice], [charge], instance_id="billing")
        async with travel, other, Client(log, namespace=namespace) as client:
            handle = await client.start(book_trip, TRIP, id="trip-1", wait_s=30)
            booking = await handle.result(timeout=60)
            described = await handle.describe()
            assert [child.status for child in described.children] == ["completed"] * 3
            starts = []
            async with Client(log, namespace=billing) as abroad:
                for child in described.children:
                    where = abroad if child.namespace == billing else client
                    found = await where.handle(child.workflow_id).describe()
                    assert found.run_id == child.run_id
                    assert found.parent is not None
                    assert (found.parent.workflow_id, found.parent.namespace) == (
                        "trip-1",
                        namespace,
                    )
                    (first, *_) = await where.handle(child.workflow_id).history()
                    assert isinstance(first, WorkflowStarted)
                    starts.append(first)
            return booking, starts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("examples.trip.workflow.BILLING", billing)
        booking, starts = asyncio.run(run())
    assert booking == BOOKED
    assert len(starts) == 3
