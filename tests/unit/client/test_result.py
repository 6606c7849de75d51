"""Waiting for the end of a run: every ending, owners that die or never come, and runs that are not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.unit.client.conftest import until
from tests.unit.client.flows import Order, blocked, echo, fail, miscast, wait
from tests.unit.client.owner import FakeOwner
from weft.client import Client
from weft.errors import (
    DeadlineError,
    Failure,
    UnknownWorkflowError,
    UsageError,
    WorkflowFailedError,
)
from weft.log import Log
from weft.records import AwaitResult, StartWorkflow

NewOwner = Callable[[], AbstractContextManager[FakeOwner]]


def test_result_raises_what_the_run_failed_with(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> WorkflowFailedError:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(fail, id="A-1")
            with pytest.raises(WorkflowFailedError) as caught:
                await handle.result()
            assert caught.value.run_id == handle.run_id
            return caught.value

    error = asyncio.run(scenario())
    assert (error.workflow_id, error.status, error.type) == ("A-1", "failed", "CardDeclined")
    assert (error.message, error.details) == ("no money", {"code": 51})
    assert str(error) == f"Workflow 'A-1' (run {error.run_id}) failed with CardDeclined: no money"
    assert isinstance(error.__cause__, Failure)
    assert (error.__cause__.type, error.__cause__.message) == ("BankError", "said no")


@pytest.mark.parametrize(
    "ending,status,type_name,text",
    [
        ("cancel", "cancelled", "CancelledError", "was cancelled: changed my mind"),
        ("terminate", "terminated", "TerminatedError", "was terminated: changed my mind"),
    ],
)
def test_result_tells_how_the_run_was_ended(
    log: Log, owner: FakeOwner, ending: str, status: str, type_name: str, text: str
) -> None:
    async def scenario() -> WorkflowFailedError:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            await getattr(handle, ending)("changed my mind")
            with pytest.raises(WorkflowFailedError, match=text) as caught:
                await handle.result()
            return caught.value

    error = asyncio.run(scenario())
    assert (error.status, error.type, error.message) == (status, type_name, "changed my mind")


def test_result_of_another_type_is_refused(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(
                UsageError, match=r"result of workflow 'A-1' \(run run-\d+\) is not"
            ):
                await client.execute(miscast, {"id": "A-1"}, id="A-1")

    asyncio.run(scenario())


def test_unknown_workflow_is_told_by_its_owner(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(UnknownWorkflowError, match="no workflow 'A-1' in namespace desk"):
                await client.handle("A-1").result()

    asyncio.run(scenario())


def test_unknown_workflow_is_seen_in_the_state_when_no_worker_is_up(log: Log) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(UnknownWorkflowError):
                await client.handle("A-1").result()

    asyncio.run(scenario())


def test_replaced_run_is_unknown_by_its_run_id(log: Log, new_owner: NewOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with new_owner():
                old = await client.start(echo, Order("old"), id="A-1")
                await old.result()
                await client.execute(echo, Order("new"), id="A-1")
                with pytest.raises(UnknownWorkflowError, match=f"Run {old.run_id} .*newer run"):
                    await old.result()
            with pytest.raises(UnknownWorkflowError, match=f"Run {old.run_id} .*newer run"):
                await old.result()
            assert await client.handle("A-1", echo).result() == Order("new")

    asyncio.run(scenario())


@pytest.mark.parametrize("workflow_id", ["done", "failed"])
def test_result_of_an_ended_run_is_readable_when_no_worker_is_up(
    log: Log, new_owner: NewOwner, workflow_id: str
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with new_owner():
                await client.start(echo, Order("A-1"), id="done")
                await client.start(fail, id="failed")
            if workflow_id == "done":
                assert await client.handle("done", echo).result() == Order("A-1")
            else:
                with pytest.raises(WorkflowFailedError, match="no money"):
                    await client.handle("failed").result(timeout=30)

    asyncio.run(scenario())


def test_result_comes_when_the_owner_that_knew_who_waits_is_gone(
    log: Log, new_owner: NewOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with new_owner() as first:
                handle = await client.start(wait, id="A-1")
                waiting = asyncio.create_task(handle.result())
                await until(lambda: first.runs["A-1"].waiters)
            with new_owner() as second:
                await handle.signal("finish", "done")
                assert await waiting == "done"
                assert all(
                    request.run_id == handle.run_id
                    for request in second.requests
                    if isinstance(request, AwaitResult)
                )

    asyncio.run(scenario())


def test_result_comes_when_its_reply_was_lost(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(echo, Order("A-1"), id="A-1")
            owner.replies_to_lose = 2
            assert await handle.result() == Order("A-1")

    asyncio.run(scenario())


def test_wait_ends_with_what_is_known_when_the_run_does_not(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            with pytest.raises(DeadlineError, match=r"\(run run-\d+\) has not ended .* is running"):
                await handle.result(timeout=0.5)
            stuck = await client.start(blocked, id="A-2")
            with pytest.raises(DeadlineError, match=r"is blocked\. Its code asked for something"):
                await stuck.result(timeout=0.5)

    asyncio.run(scenario())


def test_execute_starts_and_waits_with_one_request(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            assert await client.execute(echo, Order("A-1")) == Order("A-1")
            assert await client.execute("echo", [1, 2], id="A-2") == [1, 2]
            with pytest.raises(WorkflowFailedError, match="no money"):
                await client.execute(fail)

    asyncio.run(scenario())
    assert all(isinstance(request, StartWorkflow) for request in owner.requests)


def test_execute_says_so_when_no_worker_is_up(log: Log) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with pytest.raises(
                DeadlineError, match=r"start of workflow 'A-1' is durable at desk\."
            ):
                await client.execute(echo, Order("A-1"), id="A-1", wait_s=0.2)

    asyncio.run(scenario())


def test_execute_goes_on_when_the_owner_that_took_the_start_is_gone(
    log: Log, new_owner: NewOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            with new_owner() as first:
                waiting = asyncio.create_task(client.execute(wait, id="A-1"))
                await until(lambda: "A-1" in first.runs)
            with new_owner():
                await client.handle("A-1").signal("finish", "done")
                assert await waiting == "done"

    asyncio.run(scenario())


def test_executes_are_served_by_the_thousand(log: Log, owner: FakeOwner) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            orders = [Order(f"A-{number}", number) for number in range(2000)]
            results = await asyncio.gather(
                *(client.execute(echo, order, id=order.id) for order in orders)
            )
            assert results == orders
            assert client._session.connection.bridge.requests == {}

    asyncio.run(scenario())
    assert len(owner.runs) == 2000


def test_waiting_call_leaves_nothing_behind_when_it_is_cancelled(
    log: Log, owner: FakeOwner
) -> None:
    async def scenario() -> None:
        async with Client(log, namespace="desk") as client:
            handle = await client.start(wait, id="A-1")
            waiting = asyncio.create_task(handle.result())
            await until(lambda: owner.runs["A-1"].waiters)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert client._session.connection.bridge.requests == {}
            await handle.signal("finish")

    asyncio.run(scenario())
