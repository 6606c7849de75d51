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


@dataclass(frozen=True, slots=True)
class _Asked:
    question: OpenQuestion
    answer: asyncio.Future[InteractionResponse]
    """What an update brought."""


class Questions:
    """Asks people on behalf of one run, and waits for days at the cost of a timer.

    A request that a policy approves is answered at once. Otherwise `notify`, an activity that takes the request, tells
    somebody (again each `remind_every`); when it fails, that is logged and the question stays open. A question has
    its request's ID, or `hitl-1`, `hitl-2` and so on (`hitl-2-1` in the second run of a chain). It is answered by

    - the update `answer`, which is refused when no such question is open, and tells when it has been taken:
      `weft update order-7 answer --payload '{"request_id": "hitl-1", "decision": "approve", "by": "Grace"}'`
    - or a signal under the question's ID, from any Kafka producer; what is no answer is logged and passed over:
      `weft signal order-7 hitl-1 --payload '{"decision": "approve", "by": "Grace"}'`

    The query `questions` tells what is open. Make one of these before the workflow first waits, and one for a run;
    `query` and `update` are other names, for another.

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
        update: str = "answer",
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
        self._open: dict[str, _Asked] = {}
        self._count = 0
        context.on_query(query)(lambda: self.open)
        context.on_update(update, validator=self._check)(self._take)

    @property
    def open(self) -> list[OpenQuestion]:
        """What nobody has answered yet, oldest first."""
        return [asked.question for asked in self._open.values()]

    async def ask(self, request: InteractionRequest) -> InteractionResponse:
        """Ask, unless a policy approves, and wait for the answer. Raises TimeoutError when none comes in time.

        Raises UsageError for an ID that this run has asked under before, and for what JSON cannot hold.
        """
        approved = approval(self._policies, request)
        if approved is not None:
            return approved
        if not request.id:
            request = replace(request, id=self._new_id())
        if request.id in self._asked:  # a second answer to the first would answer this one
            raise UsageError(f"question {request.id!r} was asked before: give each its own ID")
        encode_payload(request)
        self._asked.add(request.id)
        asked = self._opened(request)
        telling = asyncio.create_task(self._tell(request))
        try:
            response = await self._answer(asked)
        finally:
            del self._open[request.id]
            telling.cancel()
        return replace(response, request_id=request.id)

    def _new_id(self) -> str:
        """Other ones in each run of a chain: a late answer goes over to the next, where it must answer nothing."""
        self._count += 1
        run_number = self._context.info.run_number
        return f"hitl-{self._count}" if run_number == 1 else f"hitl-{run_number}-{self._count}"

    def _opened(self, request: InteractionRequest) -> _Asked:
        timeout = self._timeout
        if request.timeout is not None:
            timeout = _duration(request.timeout, "timeout")
        now = self._context.now()
        question = OpenQuestion(request, now, now + timeout if timeout is not None else None)
        self._open[request.id] = asked = _Asked(
            question, asyncio.get_running_loop().create_future()
        )
        return asked

    async def _answer(self, asked: _Asked) -> InteractionResponse:
        """By whichever way it comes first."""
        request, due = asked.question.request, asked.question.due
        while True:
            left = max(timedelta(0), due - self._context.now()) if due is not None else None
            signal = self._context.receive_signal(request.id, InteractionResponse, timeout=left)
            try:
                await asyncio.wait((signal, asked.answer), return_when=asyncio.FIRST_COMPLETED)
                return asked.answer.result() if asked.answer.done() else signal.result()
            except SignalPayloadError as error:
                self._context.logger.warning("no answer to question %r: %s", request.id, error)
            except TimeoutError:
                assert due is not None, "nothing else gives up"
                raise TimeoutError(
                    f"nobody answered question {request.id!r} within {due - asked.question.asked}"
                ) from None
            finally:
                signal.cancel()

    def _check(self, response: InteractionResponse) -> None:
        """Of an update: it may only look."""
        asked = self._open.get(response.request_id)
        if asked is None or asked.answer.done():
            known = ", ".join(self._open) or "none"
            raise UsageError(f"question {response.request_id!r} is not open (open: {known})")

    def _take(self, response: InteractionResponse) -> InteractionResponse:
        self._open[response.request_id].answer.set_result(response)
        return response

    async def _tell(self, request: InteractionRequest) -> None:
        """Until it is cancelled, when reminders are asked for."""
        while self._notify is not None:
            try:
                await self._context.execute_activity(self._notify, request)
            except ActivityError as error:
                self._context.logger.warning(
                    "nobody could be told of question %r, which stays open: %s",
                    request.id,
                    error,
                )
            if self._remind_every is None:
                return
            await self._context.sleep(self._remind_every)


def _duration(value: timedelta | float | None, what: str) -> timedelta | None:
    return None if value is None else timedelta(seconds=seconds_of(value, what))
