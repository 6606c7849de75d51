"""The state of one run, as its history tells it.

Everything here is derived by folding events (`weft.core.apply`); nothing is stored by itself. A run is folded in place:
whoever holds it holds the only copy, and forgets it when a commit fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weft.records import (
    ENDED,
    NULL,
    Caller,
    FailureInfo,
    ParentClose,
    Payload,
    RecordDeferred,
    RetryPolicy,
    RunTrace,
    Status,
)

OF_A_FORMER_RUN = -1
"""Instead of an event ID: it was in the history of a run that this one continues."""


@dataclass(slots=True)
class OpenActivity:
    """An activity that the run waits for.

    `attempt` is the one that counts: results of others are dropped. With `waiting` it is not dispatched yet and
    `due_ms` is when it will be; otherwise `due_ms` is when the first of its timeouts is over. 0 is never: as long as no
    worker has reported a start, nobody knows when the attempt's own time began.
    """

    activity_id: int
    name: str
    input: Payload
    queue: str
    inline: bool
    start_to_close_ms: int
    retry: RetryPolicy
    heartbeat_timeout_ms: int = 0
    schedule_to_start_ms: int = 0
    schedule_to_close_ms: int = 0
    attempt: int = 1
    waiting: bool = False
    due_ms: int = 0
    close_due_ms: int = 0
    """When the time for all attempts together is over; 0 is never."""
    started_ms: int = 0
    """When the attempt began, as its worker reported; 0 while none has."""
    lease_ms: int = 0
    """With a lease: how often its worker must be heard of."""
    lease: str = ""
    """The lease's ID."""
    scheduled_ms: int = 0
    """When the code asked for it."""
    attempt_ms: int = 0
    """When the attempt was brought out."""
    lost_count: int = 0
    """Attempts that were lost with their workers: no fault of the activity's."""

    @property
    def tries(self) -> int:
        """The attempts that count for the retry policy."""
        return self.attempt - self.lost_count


@dataclass(slots=True)
class OpenChild:
    """A child that has not ended, as far as the run knows.

    `attempt` is the run of it that counts: what others report is dropped. With `waiting` that run is not started yet,
    and `due_ms` is when it will be.
    """

    child_id: int
    workflow: str
    workflow_id: str
    input: Payload
    namespace: str
    timeout_ms: int
    retry: RetryPolicy
    parent_close: ParentClose
    version: str
    attempt: int = 1
    run_id: str = ""
    """Empty until its owner has said that it runs."""
    waiting: bool = False
    due_ms: int = 0
    cancel_requested: bool = False


@dataclass(slots=True)
class Run:
    """One execution under a workflow ID. `last_event_id` is 0 before its first event."""

    workflow_id: str
    run_id: str = ""
    workflow: str = ""
    version: str = ""
    status: Status = "running"
    created_ms: int = 0
    updated_ms: int = 0
    deadline_ms: int = 0
    """When the whole run times out; 0 is never."""
    timeout_ms: int = 0
    request_id: str = ""
    traceparent: str = ""
    trace: RunTrace | None = None
    carried_count: int = 0
    """Signals after its start that a former run has received."""
    parent: Caller | None = None
    """Of a child: the run that started it."""
    last_event_id: int = 0
    activities: dict[int, OpenActivity] = field(default_factory=dict)
    timers: dict[int, int] = field(default_factory=dict)
    """due_ms by timer_id"""
    children: dict[int, OpenChild] = field(default_factory=dict)
    sends: set[int] = field(default_factory=set)
    """Numbers of signals to other workflows, of which nobody has said yet what became."""
    signal_ids: dict[str, None] = field(default_factory=dict)
    """Of the signals that were received, by this run or former ones of its chain, oldest first."""
    updates: dict[str, int] = field(default_factory=dict)
    """The event ID of the outcome of each update that was accepted, by its ID; 0 while its handler is under way, and
    `OF_A_FORMER_RUN`."""
    patches: list[str] = field(default_factory=list)
    """Changes of the code whose new way this run takes, in the order in which it came by them."""
    cancel_requested: bool = False
    cancel_reason: str = ""
    open_inline_count: int = 0
    """Inline activities that do not wait for a retry."""
    leased_count: int = 0
    """Activities whose attempts are held by workers under a lease."""
    deferred: list[RecordDeferred] = field(default_factory=list)
    result: Payload = field(default_factory=lambda: NULL)
    failure: FailureInfo | None = None
    reason: str = ""
    due_heap: list[tuple[int, int]] = field(default_factory=list, compare=False, repr=False)
    """(due_ms, ID) of timers, activities and children, and (deadline_ms, 0); may hold entries that are not true now."""

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def has_open_inline(self) -> bool:
        """Whether an inline activity is under way: after a takeover nobody else would run it again."""
        return self.open_inline_count > 0
