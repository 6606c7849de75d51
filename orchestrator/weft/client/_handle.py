"""One workflow, from its caller's side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Generic, Literal, TypeVar, overload

import msgspec
from typing_extensions import TypeForm

from weft.client._description import WorkflowDescription, describe
from weft.client._duration import Duration, seconds
from weft.client._end_request import FRESH_S
from weft.client._outcome import failed_error
from weft.client._reading import filled, readable, readable_reply
from weft.client._session import Session
from weft.client._state import read_heads, read_history
from weft.client._texts import (
    already_started,
    not_confirmed,
    refused,
    repeatable,
    unknown,
)
from weft.client._updates import UpdateRequest, not_done, outcome_of, update_error
from weft.codec import decoder, encode_checked, encode_payload
from weft.errors import DeadlineError, PayloadTooLargeError, UsageError
from weft.records import (
    ENDED,
    PAYLOAD_BYTES_MAX,
    UPDATE_NAME_LENGTH_MAX,
    CancelWorkflow,
    Event,
    Head,
    Payload,
    PurgeWorkflow,
    QueryWorkflow,
    Reply,
    ReplyTo,
    ResetWorkflow,
    ResumeWorkflow,
    SignalReceived,
    SignalsRecord,
    SignalWorkflow,
    StartWorkflow,
    Status,
    SuspendWorkflow,
    TerminateWorkflow,
    UnblockWorkflow,
    UpdateWorkflow,
    WorkflowStarted,
    is_same_chain,
)

Out = TypeVar("Out")
Out_co = TypeVar("Out_co", covariant=True)
T = TypeVar("T")

WAIT_S = 10.0
"""How long a request waits for a worker's confirmation."""
READ_TIMEOUT_S = 30.0
"""How long reading the state may go without progress."""
_FRESH_STEPS_S = (0.05, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Waits before the state is read again for a run that was confirmed just now; the last one repeats."""


class Handle(Generic[Out_co]):
    """A workflow by its ID; `Out` is what it returns. Made by a `Client`, and usable as long as that is open.

    With a `run_id` it is about that run and those that continue it (`ctx.continue_as_new`): the newest of them is what
    it shows, and the end of the last is what `result` waits for. Otherwise it is about the newest run. Signals,
    cancellations and terminations always go to the newest.
    """

    def __init__(
        self,
        session: Session,
        workflow_id: str,
        run_id: str,
        decode: Callable[[Payload], Out_co],
        *,
        start: StartWorkflow | None = None,
        is_new: bool = False,
    ) -> None:
        """`start`: written, but not confirmed by anybody yet. `is_new`: confirmed just now."""
        self.id = workflow_id
        self.run_id = run_id
        """Empty as long as it is not known."""
        self._session = session
        self._address = session.address(workflow_id)
        self._decode = decode
        self._start = start
        self._fresh_until = asyncio.get_running_loop().time() + FRESH_S if is_new else 0.0

    def __repr__(self) -> str:
        return f"<Handle {self.id} {self.run_id or '(newest run)'}>"

    async def result(self, timeout: Duration | None = None) -> Out_co:  # noqa: ASYNC109  # the wait is the log's
        """Wait for the end of the run, for at most `timeout` (a timedelta or seconds; None: as long as it takes).

        Goes on over restarts of workers, and reads the result of a run that has ended also with no worker up. Raises
        WorkflowFailedError when the run did not complete, DeadlineError when it has not ended in time,
        UnknownWorkflowError when there is no such run, UsageError when the result is not of the declared type,
        PayloadError when a result that was stored aside cannot be had.
        """
        wait_s = None if timeout is None else seconds(timeout, "timeout")
        start = self._start
        reply = await self._session.wait_for_end(
            self._address,
            wait_s,
            start=(lambda to: msgspec.structs.replace(start, reply_to=to)) if start else None,
            run_id=self.run_id,
            fresh_until=self._fresh_until,
        )
        if reply.outcome == "conflict":
            raise already_started(self.id, reply)
        self._confirmed(reply)
        return await value_of(self._session, self.id, reply, self._decode)

    async def status(self, *, timeout_s: float = READ_TIMEOUT_S) -> Status:
        """How the run stands, as committed. Raises UnknownWorkflowError, LogError."""
        return (await self._read(self._read_head, timeout_s)).status

    async def describe(
        self, *, full: bool = False, timeout_s: float = READ_TIMEOUT_S
    ) -> WorkflowDescription:
        """All about the run, as committed; needs no worker. `full` is as in `history`. Raises like that."""
        head, events = await self._read(self._read_history, timeout_s)
        told = await self._shown(events, full=full)
        custom_status = self._session.payloads.readable(head.custom_status, self.id)
        return describe(self.id, head, told, self._session.namespace.name, custom_status)

    async def history(
        self, *, full: bool = False, timeout_s: float = READ_TIMEOUT_S
    ) -> list[Event]:
        """Every event of the run, oldest first; needs no worker.

        Payloads that lie in the payload store are shown as their references, and encoded ones as they are where this
        client has not their codecs and keys; with `full` they are fetched and decoded, or PayloadError is raised.
        Raises UnknownWorkflowError, LogError.
        """
        _, events = await self._read(self._read_history, timeout_s)
        return await self._shown(events, full=full)

    async def _shown(self, events: list[Event], *, full: bool) -> list[Event]:
        if full:
            return await filled(self._session, self.id, events)
        return readable(self._session, self.id, events)

    async def signal(
        self,
        name: str,
        payload: object = None,
        *,
        hint: Any = Any,
        id: str | None = None,
        confirm: bool = True,
        timeout_s: float = WAIT_S,
    ) -> None:
        """Send a signal. One `id` is received once by a run, however often it is sent (default: a new one).

        `hint` is the type that the workflow receives it as: with it, a payload that does not fit is refused here. With
        `confirm=False` it returns as soon as the signal is durable, whether or not the workflow exists. Raises
        RefusedError when the run has ended, UsageError when the payload is no JSON or not of `hint`,
        PayloadTooLargeError when no record takes it and there is no payload store, UnknownWorkflowError, DeadlineError,
        PayloadError, LogError.
        """
        if not name:
            raise UsageError("A signal needs a name.")
        if id == "":
            raise UsageError("A signal's id must not be empty; leave it out to get a new one.")
        signal_id = id or self._session.new_id()
        what = f"Signal {name!r} to workflow {self.id!r}"
        data = await self._session.set_aside(
            self._address, _signal_payload(name, payload, hint), what
        )
        if not confirm:
            record = SignalWorkflow(name, data, signal_id)
            await self._session.write(self._address, record, timeout_s, what)
            return
        try:
            reply, asks = await self._ask(
                lambda to: SignalWorkflow(name, data, signal_id, to), timeout_s, what
            )
        except DeadlineError as error:
            raise repeatable(error, f"id={signal_id!r} (--signal-id)") from None
        if reply.outcome == "refused":
            may_be_there = asks > 1 or id is not None  # asked again, perhaps by the caller
            if not (may_be_there and await self._has_received(signal_id)):
                raise refused(what, reply)

    @overload
    async def query(
        self, name: str, value: object = ..., *, hint: TypeForm[T], timeout_s: float = ...
    ) -> T: ...
    @overload
    async def query(self, name: str, value: object = ..., *, timeout_s: float = ...) -> Any: ...
    async def query(
        self, name: str, value: object = None, *, hint: Any = Any, timeout_s: float = WAIT_S
    ) -> Any:
        """Ask the run's code: what its handler of that name (`@ctx.on_query`) tells, as `hint`.

        The answer knows of everything that was confirmed before. Raises RefusedError when the run has ended or is
        blocked, has no such handler, or that raised; PayloadTooLargeError, UsageError for a value or an answer that is
        not of `hint`; UnknownWorkflowError, DeadlineError, LogError.
        """
        payloads = self._session.payloads
        payload = payloads.encode(encode_payload(value), self.id)
        what = f"Query {name!r} of workflow {self.id!r}"
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise PayloadTooLargeError(
                f"{what} has a value of {len(payload):,} bytes; {PAYLOAD_BYTES_MAX:,} is the most."
            )
        reply, _ = await self._ask(
            lambda to: QueryWorkflow(name, to, payload, self.run_id), timeout_s, what
        )
        if reply.outcome == "refused":
            raise refused(what, reply)
        return decoder(hint)(payloads.decode(reply.result, self.id))

    @overload
    async def update(
        self,
        name: str,
        value: object = ...,
        *,
        hint: TypeForm[T],
        id: str | None = ...,
        wait: Literal["completed"] = ...,
        timeout: Duration | None = ...,  # noqa: ASYNC109  # as below
    ) -> T: ...
    @overload
    async def update(
        self,
        name: str,
        value: object = ...,
        *,
        id: str | None = ...,
        wait: Literal["accepted", "completed"] = ...,
        timeout: Duration | None = ...,  # noqa: ASYNC109  # as below
    ) -> Any: ...
    async def update(
        self,
        name: str,
        value: object = None,
        *,
        id: str | None = None,
        hint: Any = Any,
        wait: Literal["accepted", "completed"] = "completed",
        timeout: Duration | None = WAIT_S,  # noqa: ASYNC109  # the wait is the log's
    ) -> Any:
        """Have the run's code check a value, take it up, and answer (`@ctx.on_update`): its answer, as `hint`.

        One `id` is one update of a run, however often it is sent (default: a new one): who sends it again gets what
        came of it, also when the run has ended since. With `wait="accepted"` the ID is returned as soon as the code has
        taken it up. `timeout` is how long to wait, None as long as it takes; a run that is suspended or blocked keeps
        the update until it goes on.

        Raises UpdateRejectedError when the code does not let it pass, and nothing has changed then; UpdateFailedError
        when its handler failed, or its run ended before that was done; RefusedError when the run had ended before;
        DeadlineError, UsageError, PayloadTooLargeError, UnknownWorkflowError, PayloadError, LogError.
        """
        update_id = self._session.new_id() if id is None else id
        for what, text in (("name", name), ("id", update_id)):
            if not 0 < len(text) <= UPDATE_NAME_LENGTH_MAX:
                raise UsageError(
                    f"An update's {what} has 1 to {UPDATE_NAME_LENGTH_MAX} characters."
                )
        wait_s = None if timeout is None else seconds(timeout, "timeout")
        what = f"Update {name!r} of workflow {self.id!r}"
        data = await self._session.set_aside(self._address, encode_payload(value), what)
        until: Literal["accepted", "ended"] = "accepted" if wait == "accepted" else "ended"
        record = UpdateWorkflow(name, update_id, data)
        reply, request = await self._session.update(self._address, record, until, wait_s)
        if reply is None:
            assert wait_s is not None, "only a bounded wait ends without a reply"
            if request.status:
                raise not_done(self.id, name, update_id, request, wait_s)
            error = not_confirmed(self._session, request, what, wait_s)
            raise repeatable(error, f"id={update_id!r} (--update-id)")
        may_be_there = request.asks > 1 or id is not None  # asked again, perhaps by the caller
        if reply.outcome == "refused" and reply.status in ENDED and may_be_there:
            reply = await self._outcome_of_ended(update_id, reply)
        if wait == "accepted" and reply.outcome in {"accepted", "answered", "failed"}:
            return update_id
        return await self._update_value(what, record, reply, request, hint)

    async def _update_value(
        self, what: str, record: UpdateWorkflow, reply: Reply, request: UpdateRequest, hint: Any
    ) -> Any:
        match reply.outcome:
            case "answered":
                return decoder(hint)(await self._session.open_payload(self.id, reply.result))
            case "refused":
                raise refused(what, reply)
            case "unknown":
                raise unknown(self._session, self.id, request.run_id)
            case _:
                opened = readable_reply(self._session, self.id, reply)
                raise update_error(self.id, record.update, record.id, opened)

    async def _outcome_of_ended(self, update_id: str, reply: Reply) -> Reply:
        """What came of an update whose run has ended since; its answer may have been lost. Else the reply itself."""
        _, key, partition = self._address
        until = asyncio.get_running_loop().time() + FRESH_S
        for step in count():
            found = await self._session.read(read_history, partition, key, READ_TIMEOUT_S)
            if found is not None and found[0].run_id == reply.run_id and found[0].status in ENDED:
                return outcome_of(found[1], update_id, reply) or reply
            if asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(_FRESH_STEPS_S[min(step, len(_FRESH_STEPS_S) - 1)])
        return reply

    async def cancel(self, reason: str = "", *, timeout_s: float = WAIT_S) -> None:
        """Ask the workflow to end; it may clean up first. Returns once that is durable, not when it has ended.

        Raises RefusedError when the run has ended, UnknownWorkflowError, DeadlineError, LogError.
        """
        what = f"Cancelling workflow {self.id!r}"
        reply, asks = await self._ask(lambda to: CancelWorkflow(reason, to), timeout_s, what)
        if reply.outcome == "refused" and not (asks > 1 and reply.status == "cancelled"):
            raise refused(what, reply)

    async def terminate(self, reason: str = "", *, timeout_s: float = WAIT_S) -> None:
        """End the run at once, without asking its code. Raises like `cancel`."""
        what = f"Terminating workflow {self.id!r}"
        reply, asks = await self._ask(lambda to: TerminateWorkflow(reason, to), timeout_s, what)
        if reply.outcome == "refused" and not (asks > 1 and reply.status == "terminated"):
            raise refused(what, reply)

    async def unblock(self, *, timeout_s: float = WAIT_S) -> Status:
        """Have a blocked run's code tried again, by replay; returns how the run stands after that.

        Raises RefusedError when the run is not blocked, and when it still is (the text says why);
        UnknownWorkflowError, DeadlineError, LogError.
        """
        what = f"Unblocking workflow {self.id!r}"
        reply, asks = await self._ask(UnblockWorkflow, timeout_s, what)
        # Asked twice and not blocked: the first time did it.
        if reply.outcome == "refused" and (asks == 1 or reply.status == "blocked"):
            raise refused(what, reply)
        return reply.status

    async def suspend(self, reason: str = "", *, timeout_s: float = WAIT_S) -> None:
        """Hold the run until `resume`: its code does not go on, its timers do not fire, and what comes in is kept.

        Activities that have begun end, and their results are kept too; a cancellation is seen at the resume. Its time
        limit goes on. Nothing happens to a run that is suspended already. Raises RefusedError when it has ended or
        is blocked; UnknownWorkflowError, DeadlineError, LogError.
        """
        what = f"Suspending workflow {self.id!r}"
        reply, _ = await self._ask(lambda to: SuspendWorkflow(reason, to), timeout_s, what)
        if reply.outcome == "refused":
            raise refused(what, reply)

    async def resume(self, *, timeout_s: float = WAIT_S) -> None:
        """Let a suspended run go on with what came meanwhile. Nothing happens to one that is not suspended.

        Raises like `suspend`, and RefusedError when its code no longer fits its history: it is blocked then.
        """
        what = f"Resuming workflow {self.id!r}"
        reply, asks = await self._ask(ResumeWorkflow, timeout_s, what)
        # Asked twice and ended: it went on the first time.
        if reply.outcome == "refused" and (asks == 1 or reply.status not in ENDED):
            raise refused(what, reply)

    async def reset(
        self, to_event: int, reason: str = "", *, run_id: str = "", timeout_s: float = WAIT_S
    ) -> str:
        """Let the workflow go on as it was after event `to_event` of its history; returns the ID of its next run.

        The run, ended or not, gives way to one that begins with those events. Where event `to_event` is something that
        the code was told, the code is asked anew what it wants then. Signals that came later are kept; updates and a
        cancellation are not. With `run_id`, only that run is reset; by default the newest. Raises RefusedError when it
        cannot go on from there, and says why; UnknownWorkflowError, DeadlineError, LogError.
        """
        what = f"Resetting workflow {self.id!r}"
        meant = run_id or (await self._read(self._read_head, timeout_s)).run_id
        reply, _ = await self._ask(
            lambda to: ResetWorkflow(meant, to_event, to.request, reason, to), timeout_s, what
        )
        if reply.outcome == "refused":
            raise refused(what, reply)
        return reply.run_id

    async def purge(self, *, timeout_s: float = WAIT_S) -> None:
        """Delete the ended run: tombstones for its state and its history.

        Raises RefusedError when it has not ended, UnknownWorkflowError, DeadlineError, LogError.
        """
        what = f"Purging workflow {self.id!r}"
        make = lambda to: PurgeWorkflow(self.run_id, to)  # noqa: E731  # one line of its own reads best
        reply, asks = await self._session.ask(self._address, make, timeout_s, what)
        self._fresh_until = 0.0
        # Asked twice and gone: the first time did it.
        if reply.outcome == "unknown" and asks == 1:
            raise unknown(self._session, self.id)
        if reply.outcome == "refused":
            raise refused(what, reply)

    async def _ask(
        self,
        make: Callable[[ReplyTo], SignalsRecord | QueryWorkflow],
        timeout_s: float,
        what: str,
    ) -> tuple[Reply, int]:
        reply, asks = await self._session.ask(self._address, make, timeout_s, what)
        if reply.outcome == "unknown":
            raise unknown(self._session, self.id)
        return reply, asks

    def _confirmed(self, reply: Reply) -> None:
        if not self.run_id or self._start is not None:
            self.run_id = reply.run_id
            self._start = None
            self._fresh_until = asyncio.get_running_loop().time() + FRESH_S

    async def _has_received(self, signal_id: str) -> bool:
        """Whether the signal had arrived before the run ended: its confirmation may have been lost."""
        return any(
            (isinstance(event, SignalReceived) and event.signal_id == signal_id)
            or (isinstance(event, WorkflowStarted) and signal_id in event.signal_ids)
            for event in (await self._read(self._read_history, READ_TIMEOUT_S))[1]
        )

    # Reading the state.

    async def _read(self, read: Callable[[float], Awaitable[T | None]], timeout_s: float) -> T:
        for step in count():
            found = await read(timeout_s)
            if found is not None:
                return found
            if asyncio.get_running_loop().time() >= self._fresh_until:
                break
            await asyncio.sleep(_FRESH_STEPS_S[min(step, len(_FRESH_STEPS_S) - 1)])
        raise unknown(self._session, self.id, self.run_id)

    async def _read_head(self, timeout_s: float) -> Head | None:
        _, key, partition = self._address
        heads = await self._session.read(read_heads, partition, {key}, timeout_s)
        head = heads.get(key)
        return head if head is not None and self._is_meant(head) else None

    async def _read_history(self, timeout_s: float) -> tuple[Head, list[Event]] | None:
        _, key, partition = self._address
        found = await self._session.read(read_history, partition, key, timeout_s)
        return found if found is not None and self._is_meant(found[0]) else None

    def _is_meant(self, head: Head) -> bool:
        return not self.run_id or is_same_chain(head.run_id, self.run_id)


def _signal_payload(name: str, value: object, hint: Any) -> Payload:
    """Raises UsageError. Without a hint, whoever receives it knows what it should be."""
    if hint is Any:
        return encode_payload(value)
    try:
        return encode_checked(value, hint)
    except UsageError as error:
        raise UsageError(f"signal {name!r}: {error}") from None


async def value_of(
    session: Session, workflow_id: str, reply: Reply, decode: Callable[[Payload], Out]
) -> Out:
    """The result in a reply.

    Raises WorkflowFailedError when there is none, UsageError when it is of another type, PayloadError when it lies in
    the payload store and cannot be had.
    """
    if reply.status != "completed":
        raise failed_error(workflow_id, readable_reply(session, workflow_id, reply))
    result = await session.open_payload(workflow_id, reply.result)
    try:
        return decode(result)
    except UsageError as error:
        raise UsageError(
            f"The result of workflow {workflow_id!r} (run {reply.run_id}) is not what its definition here says: {error}"
        ) from None
