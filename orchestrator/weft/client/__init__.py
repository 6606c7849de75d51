"""Start workflows, wait for them, signal, cancel and look at them: `from weft.client import Client`.

Everything goes over the log and nothing else: a request is a record, and its answer comes when what it tells of is
durable. All waits are bounded or take a limit, except the wait for a result, which may be days away.
"""

from weft.client._children import ChildDescription, ParentDescription
from weft.client._client import Client
from weft.client._deadletters import DeadLetter
from weft.client._description import (
    ActivityDescription,
    TimerDescription,
    WorkflowDescription,
    WorkflowSummary,
    history_document,
)
from weft.client._handle import Handle
from weft.client._open_updates import UpdateDescription, open_updates
from weft.client._outcome import failed_error, reply_of
from weft.client._updates import outcome_of, update_error

__all__ = [
    "ActivityDescription",
    "ChildDescription",
    "Client",
    "DeadLetter",
    "Handle",
    "ParentDescription",
    "TimerDescription",
    "UpdateDescription",
    "WorkflowDescription",
    "WorkflowSummary",
    "failed_error",
    "history_document",
    "open_updates",
    "outcome_of",
    "reply_of",
    "update_error",
]
