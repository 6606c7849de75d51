"""Dapr Workflow's names over Weft: `import weft.dapr as wf` instead of `import dapr.ext.workflow as wf`.

For code that was written for `dapr-ext-workflow`, and for who learns from its examples: generator workflows, activities
with a context, a runtime and a client that block. There is no sidecar and no state store: the log is Kafka, where
`WEFT_KAFKA` names it (`host:port`), and otherwise a file, `.weft/dev.weft` or what `WEFT_FILE` names; `WEFT_NAMESPACE`
is the namespace. It is the log that `weft` on the command line works with. New code is shorter with `weft.workflow`.

Two things differ, to the better. Values are converted by type hints, so an activity gets its dataclass and not its
fields. And a workflow that reads a clock, draws a number or opens a file is refused instead of failing on replay.
"""

from weft.dapr._client import DaprWorkflowClient
from weft.dapr._context import DaprWorkflowContext, RetryPolicy, WorkflowActivityContext
from weft.dapr._runtime import WorkflowRuntime, alternate_name
from weft.dapr._state import FailureDetails, WorkflowState, WorkflowStatus
from weft.errors import Failure as TaskFailedError
from weft.workflow import when_all, when_any

__all__ = [
    "DaprWorkflowClient",
    "DaprWorkflowContext",
    "FailureDetails",
    "RetryPolicy",
    "TaskFailedError",
    "WorkflowActivityContext",
    "WorkflowRuntime",
    "WorkflowState",
    "WorkflowStatus",
    "alternate_name",
    "when_all",
    "when_any",
]
