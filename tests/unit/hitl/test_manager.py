"""Questions that are open in one process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from weft.errors import UsageError
from weft.hitl import InteractionRequest, InteractionResponse, Manager, Policy

REJECT = InteractionResponse("reject", by="Grace", feedback="not today")


@pytest.mark.requirement("R1-21")
def test_questions_get_ids_and_their_own_answers() -> None:
    manager = Manager()

    async def run() -> list[InteractionResponse]:
        asked = [
            asyncio.create_task(manager.request(InteractionRequest(text))) for text in ("a", "b")
        ]
        await asyncio.sleep(0)
        assert [(each.id, each.description) for each in manager.open] == [
            ("hitl-1", "a"),
            ("hitl-2", "b"),
        ]
        manager.respond("hitl-2", REJECT)
        manager.respond("hitl-1", InteractionResponse("modify", modified={"days": 3}))
        return await asyncio.gather(*asked)

    first, second = asyncio.run(run())
    assert (first.decision, first.modified, first.request_id) == ("modify", {"days": 3}, "hitl-1")
    assert (second.decision, second.feedback, second.request_id) == (
        "reject",
        "not today",
        "hitl-2",
    )


@pytest.mark.requirement("R1-21")
def test_request_is_approved_at_once_when_a_policy_says_so() -> None:
    told: list[InteractionRequest] = []
    manager = Manager(notify=told.append)
    manager.add_policy(Policy("read_*", confidence_min=0.5))
    request = InteractionRequest(tool_name="read_mail", confidence=0.5, risk="read_only")
    assert asyncio.run(manager.request(request)).decision == "approve"
    assert told == []
    assert manager.should_approve("read_mail", 0.5, "read_only")
    assert not manager.should_approve("read_mail", 0.4, "read_only")


@pytest.mark.requirement("R1-21")
def test_responding_is_refused_when_the_question_is_not_open() -> None:
    manager = Manager()
    with pytest.raises(UsageError, match=r'^hitl/respond: request "q-1" not found$'):
        manager.respond("q-1", REJECT)

    async def answered_twice() -> None:
        asked = asyncio.create_task(manager.request(InteractionRequest(id="q-1")))
        await asyncio.sleep(0)
        manager.respond("q-1", REJECT)
        with pytest.raises(UsageError, match="not found"):
            manager.respond("q-1", REJECT)
        await asked

    asyncio.run(answered_twice())


@pytest.mark.requirement("R1-21")
def test_question_is_closed_when_nobody_answers_in_time_or_it_is_cancelled() -> None:
    manager = Manager(timeout=60)
    request = InteractionRequest(id="q-1", timeout=0.01)  # type: ignore[arg-type]

    async def run() -> None:
        with pytest.raises(TimeoutError, match=r'no answer to request "q-1" within 0\.01 s'):
            await manager.request(request)
        assert manager.open == []
        asked = asyncio.create_task(manager.request(InteractionRequest(id="q-2")))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert manager.open == []

    asyncio.run(run())


def test_both_get_the_answer_when_a_question_is_asked_twice() -> None:
    manager = Manager()

    async def run() -> list[InteractionResponse]:
        asked = [
            asyncio.create_task(manager.request(InteractionRequest(id="q-1"))) for _ in range(2)
        ]
        await asyncio.sleep(0)
        assert len(manager.open) == 1
        manager.respond("q-1", REJECT)
        return await asyncio.gather(*asked)

    assert [answer.decision for answer in asyncio.run(run())] == ["reject", "reject"]


@pytest.mark.parametrize("kind", ["async", "plain", "plain that gives a coroutine"])
def test_somebody_is_told_and_the_question_stays_open_when_that_fails(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    async def tell(request: InteractionRequest) -> None:
        told.append(request.id)
        raise ConnectionError("the chat is down")

    def tell_plainly(request: InteractionRequest) -> None:
        told.append(request.id)
        raise ConnectionError("the chat is down")

    kinds: dict[str, Callable[[InteractionRequest], object]] = {
        "async": tell,
        "plain": tell_plainly,
        "plain that gives a coroutine": lambda request: tell(replace(request)),
    }
    manager = Manager(notify=kinds[kind])

    async def run() -> InteractionResponse:
        asked = asyncio.create_task(manager.request(InteractionRequest(id="q-1")))
        async with asyncio.timeout(10):
            while not caplog.records:  # noqa: ASYNC110  # a thread makes it true
                await asyncio.sleep(0.01)
        manager.respond("q-1", REJECT)
        return await asked

    with caplog.at_level(logging.ERROR, "weft.hitl"):
        assert asyncio.run(run()).decision == "reject"
    assert told == ["q-1"]
    assert "nobody could be told of request 'q-1'" in caplog.text


@pytest.mark.parametrize("timeout", [0, -1, float("inf")])
def test_timeout_is_refused_when_it_is_none(timeout: float) -> None:
    with pytest.raises(UsageError, match="longer than zero and finite"):
        Manager(timeout=timeout)
