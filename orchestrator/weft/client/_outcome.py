"""How a run ended, as the value or the error that its caller gets."""

from __future__ import annotations

from weft.activity import to_cause
from weft.codec import decode_events, decode_payload
from weft.errors import InvariantViolation, WorkflowFailedError
from weft.records import (
    Event,
    FailureInfo,
    Head,
    Reply,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowTerminated,
    WorkflowTimedOut,
)

_TYPES = {
    "cancelled": "CancelledError",
    "terminated": "TerminatedError",
    "timed_out": "TimeoutError",
}
"""What stands for the exception's name where no exception of the workflow's code ended it."""
_VERBS = {"cancelled": "was cancelled", "terminated": "was terminated", "timed_out": "timed out"}


def reply_of(head: Head, request_id: str) -> Reply:
    """What an owner would reply about this ended run."""
    ending = last_event(head)
    match ending:
        case WorkflowCompleted():
            return Reply(request_id, "ended", head.run_id, head.status, result=ending.result)
        case WorkflowFailed():
            return Reply(request_id, "ended", head.run_id, head.status, failure=ending.failure)
        case WorkflowCancelled() | WorkflowTerminated() | WorkflowTimedOut():
            return Reply(request_id, "ended", head.run_id, head.status, reason=head.reason)
        case _:
            raise InvariantViolation(
                f"Run {head.run_id} has ended ({head.status}), but its last event is {ending}."
            )


def last_event(head: Head) -> Event:
    """The newest event of the run: never in a page, always in the head."""
    return decode_events(head.tail)[-1]


def failed_error(workflow_id: str, reply: Reply) -> WorkflowFailedError:
    """The error of a run that ended otherwise than completed. Its `message` is what the failure itself said."""
    failure = reply.failure or FailureInfo(_TYPES.get(reply.status, reply.status), reply.reason)
    how = f"failed with {failure.type}" if reply.failure else _VERBS.get(reply.status, reply.status)
    text = f"Workflow {workflow_id!r} (run {reply.run_id}) {how}"
    error = WorkflowFailedError(
        f"{text}: {failure.message}" if failure.message else f"{text}.",
        workflow_id=workflow_id,
        run_id=reply.run_id,
        status=reply.status,
        type=failure.type,
        details=decode_payload(failure.details),
    )
    error.message = failure.message
    error.__cause__ = to_cause(failure.cause)
    return error
