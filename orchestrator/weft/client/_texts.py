"""The texts of what may go wrong: what happened, where, what it means, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.errors import AlreadyStartedError, DeadlineError, RefusedError, UnknownWorkflowError
from weft.records import Reply

if TYPE_CHECKING:
    from weft.client._end_request import EndRequest
    from weft.client._request import Request
    from weft.client._session import Session


def not_confirmed(
    session: Session, request: Request | None, what: str, wait_s: float
) -> DeadlineError:
    """A record was written, or perhaps not even that, and no worker answered."""
    if request is None or not request.place:
        why = f" ({request.error})" if request is not None and request.error is not None else ""
        return DeadlineError(
            f"{what} was not confirmed by {session.log_name} within {wait_s:g} s{why}. It may be written still, or may "
            "have been."
        )
    return DeadlineError(
        f"{what} is durable at {request.place}, but no worker confirmed it within {wait_s:g} s. It is taken up as soon "
        f"as a worker serves that partition. {_is_a_worker_running(session)}"
    )


def repeatable(error: DeadlineError, how: str) -> DeadlineError:
    """The same error, with the IDs that make a repetition harmless."""
    return DeadlineError(f"{error} To ask again without doing it twice, give {how}.")


def not_answered(session: Session, request: EndRequest, wait_s: float) -> DeadlineError:
    """Nothing at all is known about the run."""
    why = f" ({request.error})" if request.error is not None else ""
    return DeadlineError(
        f"The result of workflow {request.address.workflow_id!r} did not come within {wait_s:g} s, and no worker said "
        f"anything about it{why}. The run goes on or will go on: ask again later. {_is_a_worker_running(session)}"
    )


def not_ended(session: Session, request: EndRequest, wait_s: float) -> DeadlineError:
    """The run exists and has not ended."""
    who = f"Workflow {request.address.workflow_id!r} (run {request.run_id})"
    if request.status == "blocked":
        return DeadlineError(
            f"{who} has not ended within {wait_s:g} s: it is blocked. {request.reason} Mend the code and start a "
            f"worker with it; the run then goes on by itself. To try the same code again: weft unblock "
            f"{request.address.workflow_id}"
        )
    if request.status == "suspended":
        why = f" ({request.reason})" if request.reason else ""
        return DeadlineError(
            f"{who} has not ended within {wait_s:g} s: it is suspended{why}. To let it go on: weft resume "
            f"{request.address.workflow_id} --namespace {session.namespace.name}"
        )
    return DeadlineError(
        f"{who} has not ended within {wait_s:g} s: it is {request.status}. Ask again later, or see what it waits for "
        f"with: weft show {request.address.workflow_id} --namespace {session.namespace.name}. If it does not go on: "
        f"{_is_a_worker_running(session)}"
    )


def unknown(session: Session, workflow_id: str, run_id: str = "") -> UnknownWorkflowError:
    where = f"namespace {session.namespace.name} of {session.log_name}"
    if run_id:
        return UnknownWorkflowError(
            f"Run {run_id} of workflow {workflow_id!r} is no longer in {where}: it was purged, or a newer run took its "
            "place. `client.handle(id)` without a run ID is about the newest one."
        )
    return UnknownWorkflowError(
        f"There is no workflow {workflow_id!r} in {where}: it was never started, its start waits for a worker, "
        "or it was purged. `weft list` shows those that there are."
    )


def already_started(workflow_id: str, reply: Reply) -> AlreadyStartedError:
    return AlreadyStartedError(
        f"Workflow {workflow_id!r} is running already (run {reply.run_id}, {reply.status}); nothing was started. "
        "Choose another ID, or on_conflict='use_existing' to get that run, or 'terminate_existing' to end it and start "
        "anew.",
        run_id=reply.run_id,
    )


def refused(what: str, reply: Reply) -> RefusedError:
    return RefusedError(f"{what} was refused: {reply.reason} (run {reply.run_id}).")


def _is_a_worker_running(session: Session) -> str:
    name = session.namespace.name
    return (
        f"Is a worker running for namespace {name} on {session.log_name}? "
        f"(weft worker FILE --namespace {name})"
    )
