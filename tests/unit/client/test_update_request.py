"""An update from sending it to what came of it: what the client believes, and what it asks next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.client.conftest import until
from weft.client._request import Address
from weft.client._updates import UpdateRequest, not_done, outcome_of, update_error
from weft.codec import decode_queries, decode_signals, encode_payload
from weft.errors import UpdateFailedError, UpdateRejectedError
from weft.records import (
    AwaitUpdate,
    Event,
    FailureInfo,
    Reply,
    ReplyTo,
    SignalReceived,
    UpdateAccepted,
    UpdateCompleted,
    UpdateFailed,
    UpdateWorkflow,
)
from weft.topics import Namespace

NAMES = Namespace("desk")
NO = FailureInfo("ValueError", "too many")


class Wire:
    """Stands for the bridge: what is sent is kept, and answered by the test."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.requests: dict[str, Any] = {}
        self.heard_at: dict[int, float] = {}
        self.sent: list[UpdateWorkflow | AwaitUpdate] = []

    def send(
        self, topic: str, _partition: int, _key: bytes, value: bytes, on_delivery: Any
    ) -> None:
        decode = decode_queries if topic == NAMES.queries else decode_signals
        record = decode(value)
        assert isinstance(record, UpdateWorkflow | AwaitUpdate)
        self.sent.append(record)
        on_delivery(None, 0, len(self.sent))

    def answer(self, number: int, outcome: Any, **fields: Any) -> None:
        """To the request that was sent as that one, if anybody still waits for it."""
        to = self.sent[number].reply_to
        assert to is not None
        request = self.requests.get(to.request)
        if request is not None:
            request.take(Reply(to.request, outcome, "run-1", **fields))


def asking(
    scenario: Callable[[Wire, asyncio.Future[Reply | None], UpdateRequest], Awaitable[None]],
    *,
    until: Any = "ended",
    wait_s: float = 10.0,
) -> Reply | None:
    """The reply that an update gets in this scenario."""

    async def run() -> Reply | None:
        wire, numbers = Wire(), iter(range(1000))
        request = UpdateRequest(
            wire,  # type: ignore[arg-type]
            Address("A-1", b"A-1", 0),
            NAMES,
            UpdateWorkflow("add", "u-1", encode_payload(5)),
            lambda: ReplyTo("client", str(next(numbers)), 0, until),
        )
        waiting = asyncio.ensure_future(request.reply(wait_s))
        await asyncio.sleep(0)
        await scenario(wire, waiting, request)
        reply = await waiting
        assert wire.requests == {}, "nobody waits any more"
        return reply

    return asyncio.run(run())


def test_rejection_counts_only_as_the_answer_to_the_last_copy() -> None:
    async def scenario(wire: Wire, waiting: asyncio.Future[Any], _request: UpdateRequest) -> None:
        await until(lambda: len(wire.sent) == 2)
        wire.answer(0, "rejected", failure=NO)
        await asyncio.sleep(0)
        assert not waiting.done(), "the second may still be let pass"
        wire.answer(len(wire.sent) - 1, "answered", result=encode_payload(1))

    reply = asking(scenario)
    assert reply is not None
    assert reply.outcome == "answered"


def test_rejection_of_the_last_copy_ends_it() -> None:
    async def scenario(wire: Wire, _waiting: Any, _request: UpdateRequest) -> None:
        await until(lambda: len(wire.sent) == 2)
        wire.answer(len(wire.sent) - 1, "rejected", failure=NO)

    reply = asking(scenario)
    assert reply is not None
    assert (reply.outcome, reply.failure) == ("rejected", NO)


def test_update_that_was_taken_up_is_asked_for_and_not_sent_again() -> None:
    async def scenario(wire: Wire, _waiting: Any, _request: UpdateRequest) -> None:
        wire.answer(0, "accepted")
        await until(lambda: len(wire.sent) == 2)
        question = wire.sent[1]
        assert isinstance(question, AwaitUpdate)
        assert (question.id, question.run_id) == ("u-1", "run-1")
        wire.answer(1, "failed", failure=NO)

    reply = asking(scenario)
    assert reply is not None
    assert reply.outcome == "failed"


def test_acceptance_is_enough_for_who_wants_no_more() -> None:
    async def scenario(wire: Wire, _waiting: Any, _request: UpdateRequest) -> None:
        wire.answer(0, "accepted")

    reply = asking(scenario, until="accepted")
    assert reply is not None
    assert reply.outcome == "accepted"


def test_update_that_was_kept_and_did_not_pass_is_sent_once_more_when_its_answer_is_lost() -> None:
    async def scenario(wire: Wire, waiting: asyncio.Future[Any], _request: UpdateRequest) -> None:
        wire.answer(0, "running", status="suspended")
        await until(lambda: len(wire.sent) == 2)
        assert isinstance(wire.sent[1], AwaitUpdate)
        wire.answer(1, "rejected")
        await until(lambda: isinstance(wire.sent[-1], UpdateWorkflow) and len(wire.sent) > 2)
        assert not waiting.done()
        wire.answer(len(wire.sent) - 1, "rejected", failure=NO)

    reply = asking(scenario)
    assert reply is not None
    assert reply.failure == NO


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("suspended", "is kept until the workflow is resumed"),
        ("blocked", "is kept until the workflow's code is mended"),
        ("running", "was taken up and is not done"),
    ],
)
def test_client_that_is_out_of_patience_is_told_how_it_stands(status: Any, told: str) -> None:
    texts: list[str] = []

    async def scenario(wire: Wire, _waiting: Any, request: UpdateRequest) -> None:
        wire.answer(0, "accepted" if status == "running" else "running", status=status)
        texts.append(str(not_done("A-1", "add", "u-1", request, 0.1)))

    assert asking(scenario, wait_s=0.1) is None
    assert told in texts[0]
    assert "id='u-1'" in texts[0]


ENDED = Reply("q", "refused", "run-1", "completed")


def test_history_of_an_ended_run_tells_what_came_of_an_update() -> None:
    accepted: list[Event] = [UpdateAccepted(2, 0, "add", f"u-{number}") for number in (1, 2, 3)]
    events: list[Event] = [
        *accepted,
        SignalReceived(5, 0, "go"),
        UpdateCompleted(6, 0, "add", "u-1", encode_payload(7)),
        UpdateFailed(7, 0, "add", "u-2", NO),
    ]
    outcomes = [outcome_of(events, f"u-{number}", ENDED) for number in (1, 2, 3, 4)]
    assert [one.outcome if one else None for one in outcomes] == [
        "answered", "failed", "failed", None,
    ]  # fmt: skip
    done, failed, lost, _ = outcomes
    assert done is not None
    assert done.result == encode_payload(7)
    assert failed is not None
    assert failed.failure == NO
    assert lost is not None
    error = update_error("A-1", "add", "u-3", lost)
    assert isinstance(error, UpdateFailedError)
    assert error.type == "WorkflowEnded"
    assert "has ended (completed) before" in str(error)


def test_rejection_says_what_and_why() -> None:
    reply = Reply("q", "rejected", "run-1", "running", failure=NO)
    error = update_error("A-1", "add", "u-1", reply)
    assert isinstance(error, UpdateRejectedError)
    assert (error.update, error.update_id, error.reason, error.type) == (
        "add", "u-1", "too many", "ValueError",
    )  # fmt: skip
    assert str(error) == (
        "Update 'add' (ID u-1) of workflow 'A-1' (run run-1) was rejected: too many. Nothing has changed."
    )
