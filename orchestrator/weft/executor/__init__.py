"""Executors: one contract for running workflows, whoever runs them: `from weft import executor`."""

from weft.executor._contract import (
    DurableExecutor,
    Middleware,
    WorkflowFunction,
    WorkflowHandle,
    WorkflowStore,
    apply_middleware,
)
from weft.executor._default import DefaultExecutor
from weft.executor._errors import ExecutorError, FencedStoreError, StoreError
from weft.executor._facts import Fact, HookObserver, Observer, note, tell_all
from weft.executor._functions import (
    ActivityFunction,
    FunctionContext,
    FunctionWorkflow,
    as_activity,
    as_workflow,
)
from weft.executor._history import status_of
from weft.executor._hooks import Hooks, compose_hooks
from weft.executor._middleware import Passing, with_hooks, with_tracing
from weft.executor._registry import Config, Factory, new, providers, register
from weft.executor._retry import RetryPolicy, compute_interval, default_retry_policy, retry
from weft.executor._signals import InMemorySignalChannel, SignalChannel
from weft.executor._types import (
    ZERO_TIME,
    EventType,
    HistoryEvent,
    Signal,
    WorkflowFilter,
    WorkflowOptions,
    WorkflowState,
    WorkflowStatus,
    cursor_of,
)

__all__ = [
    "ZERO_TIME",
    "ActivityFunction",
    "Config",
    "DefaultExecutor",
    "DurableExecutor",
    "EventType",
    "ExecutorError",
    "Fact",
    "Factory",
    "FencedStoreError",
    "FunctionContext",
    "FunctionWorkflow",
    "HistoryEvent",
    "HookObserver",
    "Hooks",
    "InMemorySignalChannel",
    "Middleware",
    "Observer",
    "Passing",
    "RetryPolicy",
    "Signal",
    "SignalChannel",
    "StoreError",
    "WorkflowFilter",
    "WorkflowFunction",
    "WorkflowHandle",
    "WorkflowOptions",
    "WorkflowState",
    "WorkflowStatus",
    "WorkflowStore",
    "apply_middleware",
    "as_activity",
    "as_workflow",
    "compose_hooks",
    "compute_interval",
    "cursor_of",
    "default_retry_policy",
    "new",
    "note",
    "providers",
    "register",
    "retry",
    "status_of",
    "tell_all",
    "with_hooks",
    "with_tracing",
]
