"""What goes from workflow to workflow: records on `ns.messages`, whose key is the workflow that they are for.

Each is written in the transaction of the turn that brought it about, so it is there once if that turn was taken, and
read by the owner of the workflow that it is for, whose offsets are in its own transaction: so it is taken once. What a
run that has ended, or was replaced, is told is dropped.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weft.records._values import NULL, Caller, ChildStatus, FailureInfo, Payload, RunTrace


class _MessagesRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", gc=False):
    pass


class ForwardedRecord(_MessagesRecord, frozen=True, tag="forwarded"):
    """A record that came on a partition which is not its workflow's, moved to the right one, once."""

    source: str
    """`signals`, `results` or `queries`."""
    topic: str
    partition: int
    offset: int
    record: Payload
    v: Literal[1] = 1


class StartChild(_MessagesRecord, frozen=True, tag="start_child"):
    """Start `workflow` under the record's key for `parent`, which is told of its start and of its end."""

    parent: Caller
    workflow: str
    input: Payload = NULL
    timeout_ms: int = 0
    version: str = ""
    """The version of its code that is wanted, where there is one."""
    is_version_required: bool = False
    """Without that version it must not run; otherwise the newest one will do."""
    traceparent: str = ""
    """The span of the parent's run, as W3C Trace Context has it, if that was started in one; otherwise `trace` says."""
    trace: RunTrace | None = None
    v: Literal[1] = 1

    @property
    def request_id(self) -> str:
        """The same for every copy of this start, and of no other."""
        return f"{self.parent.run_id}/{self.parent.number}/{self.parent.attempt}"


class ChildRunning(_MessagesRecord, frozen=True, tag="child_started"):
    """To the parent's run `run_id`: attempt `attempt` of its child is run `child_run_id`."""

    run_id: str
    child_id: int
    attempt: int
    child_run_id: str
    v: Literal[1] = 1


class ChildDone(_MessagesRecord, frozen=True, tag="child_ended"):
    """To the parent's run `run_id`: how attempt `attempt` of its child ended."""

    run_id: str
    child_id: int
    attempt: int
    status: Literal["completed"] | ChildStatus
    child_run_id: str = ""
    result: Payload = NULL
    failure: FailureInfo | None = None
    v: Literal[1] = 1


class StopChild(_MessagesRecord, frozen=True, tag="stop_child"):
    """To child `child_id` of run `run_id`, if it is open: end, or be terminated."""

    run_id: str
    child_id: int
    how: Literal["cancel", "terminate"]
    reason: str = ""
    v: Literal[1] = 1


class SignalFrom(_MessagesRecord, frozen=True, tag="signal"):
    """A signal of another workflow's, which is told what became of it."""

    sender: Caller
    signal: str
    payload: Payload = NULL
    child_id: int = 0
    """With a number, only that child of the sender's run may have it."""
    v: Literal[1] = 1

    @property
    def signal_id(self) -> str:
        """The same for every copy of this signal, and of no other."""
        return f"{self.sender.run_id}/{self.sender.number}"


class SignalOutcome(_MessagesRecord, frozen=True, tag="signal_outcome"):
    """To run `run_id`, which sent a signal: the other workflow has it, or `problem` says why it has not."""

    run_id: str
    send_id: int
    problem: str = ""
    v: Literal[1] = 1


MessagesRecord = (
    ForwardedRecord | StartChild | ChildRunning | ChildDone | StopChild | SignalFrom | SignalOutcome
)
