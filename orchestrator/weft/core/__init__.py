"""The deterministic core: no I/O, no clock, no randomness of its own.

`decide` turns a run and an input into events and effects; `apply` folds events into the run; live turns and rebuilds
share it. The same code serves on Kafka, on the embedded log, in tests with a virtual clock and in replay.
"""

from weft.core._apply import apply, next_due_ms, rebuild
from weft.core._commands import (
    CancelActivity,
    CancelChild,
    CancelTimer,
    CancelWorkflowDone,
    Command,
    CompleteUpdate,
    CompleteWorkflow,
    ContinueWorkflow,
    DispatchActivity,
    Due,
    FailUpdate,
    FailWorkflow,
    LeaseExpired,
    PublishRecord,
    RecordPatch,
    ScheduleActivity,
    ScheduleChild,
    SendSignal,
    StartTimer,
    number_of,
)
from weft.core._decide import Decision, Input, decide, decide_commands, decide_refusal, decide_start
from weft.core._retry import is_retryable, retry_interval_ms
from weft.core._run import OF_A_FORMER_RUN, OpenActivity, OpenChild, Run

__all__ = [
    "OF_A_FORMER_RUN",
    "CancelActivity",
    "CancelChild",
    "CancelTimer",
    "CancelWorkflowDone",
    "Command",
    "CompleteUpdate",
    "CompleteWorkflow",
    "ContinueWorkflow",
    "Decision",
    "DispatchActivity",
    "Due",
    "FailUpdate",
    "FailWorkflow",
    "Input",
    "LeaseExpired",
    "OpenActivity",
    "OpenChild",
    "PublishRecord",
    "RecordPatch",
    "Run",
    "ScheduleActivity",
    "ScheduleChild",
    "SendSignal",
    "StartTimer",
    "apply",
    "decide",
    "decide_commands",
    "decide_refusal",
    "decide_start",
    "is_retryable",
    "next_due_ms",
    "number_of",
    "rebuild",
    "retry_interval_ms",
]
