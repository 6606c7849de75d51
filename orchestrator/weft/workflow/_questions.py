"""People asked by a workflow: an open question is part of the run, so it outlives every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from weft.activity import Activity
from weft.codec import encode_payload
from weft.errors import ActivityError, SignalPayloadError, UsageError
from weft.hitl import InteractionRequest, InteractionResponse, Policy, approval
from weft.workflow._context import Context, seconds_of


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """What the query tells of a question that nobody has answered. Without `due` it waits for ever."""

    request: InteractionRequest
    asked: datetime
    due: datetime | None


class Questions:
    """Asks people on behalf of one run, and waits for days at the cost of a timer.

    A request that a policy approves is answered at once. Otherwise `notify`, an activity that takes the request, tells
    somebody (again each `remind_every`); when it fails, that is logged and the question stays open. The answer is a
    signal under the request's ID (`hitl-1`, `hitl-2`, ... where none is given), from any client or Kafka producer:
    `weft signal order-7 hitl-1 --payload '{"decision": "approve", "by": "Grace"}'`. What is no answer is logged and
    passed over. The query `questions` tells what is open.

    Policies are part of the workflow's code: a change that answers an open question otherwise needs `ctx.patched`.
    """

    def __init__(
        self,
        context: Context,
        *,
        notify: Activity[[InteractionRequest], Any] | str | None = None,
        policies: Iterable[Policy] = (),
        timeout: timedelta | float | None = None,
        remind_every: timedelta | float | None = None,
        query: str = "questions",
    ) -> None:
        if not (notify is None or isinstance(notify, Activity | str)):
            raise UsageError(f"notify is an activity, or the name of one, not {notify!r}")
        self._context = context
        self._notify = notify
        self._policies = tuple(policies)
        self._timeout = _duration(timeout, "timeout")
        self._remind_every = _duration(remind_every, "remind_every")
        if self._remind_every == timedelta(0):
            raise UsageError("remind_every must be longer than zero")
        self._asked: set[str] = set()
        self._open: dict[str, OpenQuestion] = {}
        self._count = 0
        context.on_query(query)(lambda: self.open)

    @property
    def open(self) -> list[OpenQuestion]:
        """What nobody has answered yet, oldest first."""
        return list(self._open.values())

    async def ask(self, request: InteractionRequest) -> InteractionResponse:
        """Ask, unless a policy approves, and wait for the answer. Raises TimeoutError when none comes in time.

        Raises UsageError for an ID that this run has asked under before, and for what JSON cannot hold.
        """
        approved = approval(self._policies, request)
        if approved is not None:
            return approved
        if not request.id:
            self._count += 1
            request = replace(request, id=f"hitl-{self._count}")
        if request.id in self._asked:  # a second answer to the first would answer this one
            raise UsageError(f"question {request.id!r} was asked before: give each its own ID")
        encode_payload(request)
        self._asked.add(request.id)
        question = self._opened(request)
        telling = asyncio.create_task(self._tell(question))
        try:
            response = await self._answer(question)
        finally:
            del self._open[request.id]
            telling.cancel()
        return replace(response, request_id=request.id)

    def _opened(self, request: InteractionRequest) -> OpenQuestion:
        timeout = self._timeout
        if request.timeout is not None:
            timeout = _duration(request.timeout, "timeout")
        asked = self._context.now()
        question = OpenQuestion(request, asked, asked + timeout if timeout is not None else None)
        self._open[request.id] = question
        return question

    async def _answer(self, question: OpenQuestion) -> InteractionResponse:
        request, due = question.request, question.due
        while True:
            left = max(timedelta(0), due - self._context.now()) if due is not None else None
            try:
                return await self._context.receive_signal(
                    request.id, InteractionResponse, timeout=left
                )
            except SignalPayloadError as error:
                self._context.logger.warning("no answer to question %r: %s", request.id, error)
            except TimeoutError:
                assert due is not None, "nothing else gives up"
                raise TimeoutError(
                    f"nobody answered question {request.id!r} within {due - question.asked}"
                ) from None

    async def _tell(self, question: OpenQuestion) -> None:
        """Until it is cancelled, when reminders are asked for."""
        while self._notify is not None:
            try:
                await self._context.execute_activity(self._notify, question.request)
            except ActivityError as error:
                self._context.logger.warning(
                    "nobody could be told of question %r, which stays open: %s",
                    question.request.id,
                    error,
                )
            if self._remind_every is None:
                return
            await self._context.sleep(self._remind_every)


def _duration(value: timedelta | float | None, what: str) -> timedelta | None:
    return None if value is None else timedelta(seconds=seconds_of(value, what))
