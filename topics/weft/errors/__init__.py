"""Every error that Weft raises on purpose.

One root, `WeftError`, so that a caller can catch "anything of Weft". Below it are three families that call for
different answers: `UsageError` (the caller's mistake, raised where the bad value enters), `Failure` (data: it goes
through a workflow's history and comes out again at whoever waits), and `LogError` (the log said no; the class attribute
`retriable` says whether the same call may succeed later).

The package lies in the lowest layer because the log, the orchestrator and the workers all raise from it.
"""

from weft.errors._errors import (
    ActivityError,
    AlreadyStartedError,
    ChildWorkflowError,
    CommitUnknownError,
    CorruptRecordError,
    DeadlineError,
    DeterminismError,
    Failure,
    FencedError,
    HeartbeatTimeoutError,
    InvariantViolation,
    LeaseLostError,
    LogError,
    LogFullError,
    LogUnavailableError,
    NondeterminismError,
    PayloadError,
    PayloadTooLargeError,
    QueryError,
    RecordTooLargeError,
    RefusedError,
    SignalNotDeliveredError,
    SignalPayloadError,
    TopicError,
    TurnLimitError,
    TurnTimeoutError,
    UnknownDeadLetterError,
    UnknownWorkflowError,
    UsageError,
    WeftError,
    WorkflowFailedError,
)

__all__ = [
    "ActivityError",
    "AlreadyStartedError",
    "ChildWorkflowError",
    "CommitUnknownError",
    "CorruptRecordError",
    "DeadlineError",
    "DeterminismError",
    "Failure",
    "FencedError",
    "HeartbeatTimeoutError",
    "InvariantViolation",
    "LeaseLostError",
    "LogError",
    "LogFullError",
    "LogUnavailableError",
    "NondeterminismError",
    "PayloadError",
    "PayloadTooLargeError",
    "QueryError",
    "RecordTooLargeError",
    "RefusedError",
    "SignalNotDeliveredError",
    "SignalPayloadError",
    "TopicError",
    "TurnLimitError",
    "TurnTimeoutError",
    "UnknownDeadLetterError",
    "UnknownWorkflowError",
    "UsageError",
    "WeftError",
    "WorkflowFailedError",
]
