"""An update, from sending it to what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from weft.activity import to_cause
from weft.client import _end_request
from weft.client._bridge import Bridge
from weft.client._request import Address, Request
from weft.codec import decode_payload, encode
from weft.errors import DeadlineError, UpdateFailedError, UpdateRejectedError
from weft.records import (
    AwaitUpdate,
    Event,
    FailureInfo,
    Reply,
    ReplyTo,
    UpdateAccepted,
    UpdateCompleted,
    UpdateFailed,
    UpdateWorkflow,
)
from weft.topics import Namespace


class UpdateRequest(Request):
    """Sends an update until somebody has taken it up or keeps it, then asks what came of it.

    Each copy that is sent has a request ID of its own. A rejection counts only as the answer to the last copy: the code
    may let a later one pass, which is on the log already, and nothing that was called rejected may be taken up.
    """

    __slots__ = (
        "_is_kept",
        "_last_copy",
        "_new_reply_to",
        "_record",
        "_request_ids",
        "_topics",
        "_until",
        "reason",
        "run_id",
        "status",
    )

    def __init__(
        self,
        bridge: Bridge,
        address: Address,
        topics: Namespace,
        record: UpdateWorkflow,
        new_reply_to: Callable[[], ReplyTo],
    ) -> None:
        first = new_reply_to()
        super().__init__(bridge, address, first.request, topics.signals, b"")
        self.run_id = ""
        self.status = ""
        """How its run was when somebody last said that it has the update; empty as long as nobody has."""
        self.reason = ""
        self._topics = topics
        self._record = record
        self._until = first.until
        self._new_reply_to = new_reply_to
        self._request_ids: list[str] = []
        """Of all that was sent, questions too."""
        self._last_copy = ""
        self._is_kept = False

    async def reply(self, wait_s: float | None) -> Reply | None:
        try:
            return await super().reply(wait_s)
        finally:
            for request_id in self._request_ids:
                self._bridge.requests.pop(request_id, None)

    def take(self, reply: Reply) -> None:
        if reply.outcome == "rejected":
            self._take_rejection(reply)
        elif reply.outcome == "running" or (reply.outcome == "accepted" and self._until == "ended"):
            self.run_id, self.status, self.reason = reply.run_id, reply.status, reply.reason
            self._is_kept = True
            self._again_s = _end_request.AWAIT_AGAIN_S
        else:
            self._finish(reply)

    def _take_rejection(self, reply: Reply) -> None:
        if reply.failure is not None:
            if reply.request == self._last_copy:
                self._finish(reply)
        elif self._is_kept and not self._future.done():
            # It was kept for later and did not pass then, for a reason that is lost: it is sent once more.
            self._is_kept = False
            if self._timer is not None:
                self._timer.cancel()
            self._on_time()

    def _question(self) -> tuple[str, bytes]:
        reply_to = self._new_reply_to()
        self._request_ids.append(reply_to.request)
        self._bridge.requests[reply_to.request] = self
        if self._is_kept:
            question = AwaitUpdate(self._record.id, reply_to, self.run_id)
            return self._topics.queries, encode(question)
        self._last_copy = reply_to.request
        return self._topic, encode(msgspec.structs.replace(self._record, reply_to=reply_to))


def outcome_of(events: Iterable[Event], update_id: str, reply: Reply) -> Reply | None:
    """What the history of an ended run says about an update, as its owner would; None: it was not taken up.

    `reply` is what the owner said of the run.
    """
    found: Reply | None = None
    for event in events:
        match event:
            case UpdateAccepted(update_id=update_id_) if update_id_ == update_id:
                text = (
                    f"the workflow has ended ({reply.status}) before the update's handler was done"
                )
                failure = FailureInfo("WorkflowEnded", text)
                found = msgspec.structs.replace(reply, outcome="failed", failure=failure)
            case UpdateCompleted(update_id=update_id_) if update_id_ == update_id:
                return msgspec.structs.replace(reply, outcome="answered", result=event.result)
            case UpdateFailed(update_id=update_id_) if update_id_ == update_id:
                return msgspec.structs.replace(reply, outcome="failed", failure=event.failure)
    return found


def update_error(
    workflow_id: str, update: str, update_id: str, reply: Reply
) -> UpdateRejectedError | UpdateFailedError:
    """The error of an update that was rejected, or that was taken up and failed."""
    failure = reply.failure or FailureInfo("UpdateRejectedError")
    what = f"Update {update!r} (ID {update_id}) of workflow {workflow_id!r} (run {reply.run_id})"
    if reply.outcome == "rejected":
        return UpdateRejectedError(
            f"{what} was rejected: {failure.message}. Nothing has changed.",
            update=update,
            update_id=update_id,
            reason=failure.message,
            type=failure.type,
        )
    error = UpdateFailedError(
        f"{what} failed with {failure.type}: {failure.message}",
        update=update,
        update_id=update_id,
        workflow_id=workflow_id,
        type=failure.type,
        details=decode_payload(failure.details),
    )
    error.message = failure.message
    error.__cause__ = to_cause(failure.cause)
    return error


def not_done(
    workflow_id: str, update: str, update_id: str, request: UpdateRequest, wait_s: float
) -> DeadlineError:
    """Somebody has the update, and nothing has come of it yet."""
    what = f"Update {update!r} of workflow {workflow_id!r}"
    again = f"ask for what came of it by sending it again with id={update_id!r} (--update-id)"
    if request.status == "suspended":
        return DeadlineError(
            f"{what} is kept until the workflow is resumed, which it was not within {wait_s:g} s: weft resume "
            f"{workflow_id}. Then {again}."
        )
    if request.status == "blocked":
        return DeadlineError(
            f"{what} is kept until the workflow's code is mended, which it was not within {wait_s:g} s: "
            f"{request.reason} Then {again}."
        )
    return DeadlineError(f"{what} was taken up and is not done after {wait_s:g} s. Later, {again}.")
