"""Questions that are open in this process."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import timedelta

from weft.errors import UsageError
from weft.hitl._policies import Policy, approval, approving
from weft.hitl._values import InteractionRequest, InteractionResponse, Risk

DEFAULT_TIMEOUT = timedelta(minutes=5)
"""How long a person is waited for where nobody says."""

Notify = Callable[[InteractionRequest], Awaitable[object] | object]

_logger = logging.getLogger("weft.hitl")


@dataclass(slots=True)
class _Question:
    request: InteractionRequest
    waiting: list[Future[InteractionResponse]] = field(default_factory=list)
    """More than one when an attempt was given to another one before it had ended: both get the answer."""


class Manager:
    """Asks people, and waits for them in memory: what is open here is gone with the process.

    `notify` (a plain or an async function) tells somebody; when it fails, that is logged and the question stays open.
    `respond` may be called from any thread: from a web handler, for instance.
    """

    def __init__(
        self,
        policies: Iterable[Policy] = (),
        *,
        notify: Notify | None = None,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
    ) -> None:
        self._policies = list(policies)
        self._notify = notify
        self._timeout_s = _seconds(timeout)
        self._lock = threading.Lock()
        self._open: dict[str, _Question] = {}
        self._count = 0

    def add_policy(self, policy: Policy) -> None:
        """The last to be asked."""
        self._policies.append(policy)

    def should_approve(self, tool_name: str, confidence: float, risk: Risk) -> bool:
        """Whether a policy approves this without a person."""
        return approving(self._policies, tool_name, confidence, risk) is not None

    @property
    def open(self) -> list[InteractionRequest]:
        """What nobody has answered yet, oldest first."""
        with self._lock:
            return [question.request for question in self._open.values()]

    async def request(self, request: InteractionRequest) -> InteractionResponse:
        """Ask, unless a policy approves, and wait for the answer. Raises TimeoutError when none comes in time."""
        if not request.id:
            request = replace(request, id=self._new_id())
        approved = approval(self._policies, request)
        if approved is not None:
            return approved
        answer = self._opened(request)
        seconds = self._timeout_s if request.timeout is None else _seconds(request.timeout)
        try:
            async with asyncio.timeout(seconds):
                await self._tell(request)
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            raise TimeoutError(
                f'hitl/request: no answer to request "{request.id}" within {seconds:g} s'
            ) from None
        finally:
            self._closed(request.id, answer)

    def respond(self, request_id: str, response: InteractionResponse) -> None:
        """Answer an open question. Raises UsageError when there is none of that ID (any more)."""
        with self._lock:
            question = self._open.pop(request_id, None)
        if question is None:
            raise UsageError(f'hitl/respond: request "{request_id}" not found')
        for answer in question.waiting:
            if answer.set_running_or_notify_cancel():
                answer.set_result(replace(response, request_id=request_id))

    def _new_id(self) -> str:
        with self._lock:
            self._count += 1
            return f"hitl-{self._count}"

    def _opened(self, request: InteractionRequest) -> Future[InteractionResponse]:
        answer: Future[InteractionResponse] = Future()
        with self._lock:
            self._open.setdefault(request.id, _Question(request)).waiting.append(answer)
        return answer

    def _closed(self, request_id: str, answer: Future[InteractionResponse]) -> None:
        """Nobody waits for this one any more."""
        with self._lock:
            question = self._open.get(request_id)
            if question is None or answer not in question.waiting:
                return
            question.waiting.remove(answer)
            if not question.waiting:
                del self._open[request_id]

    async def _tell(self, request: InteractionRequest) -> None:
        if self._notify is None:
            return
        try:
            if inspect.iscoroutinefunction(self._notify):
                await self._notify(request)
                return
            told = await asyncio.to_thread(self._notify, request)
            if inspect.isawaitable(told):
                await told
        except Exception:
            _logger.exception("nobody could be told of request %r, which stays open", request.id)


def _seconds(timeout: timedelta | float) -> float:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
    if not 0 < seconds < float("inf"):
        raise UsageError(f"timeout must be longer than zero and finite, not {timeout!r}")
    return seconds
