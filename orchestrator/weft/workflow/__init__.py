"""Workflows: `from weft import workflow`, then `@workflow.define`."""

from weft.determinism import unguarded
from weft.records import ParentClose
from weft.workflow._activities import Activities
from weft.workflow._child import Child, child
from weft.workflow._children import ChildHandle
from weft.workflow._context import Context, GeneratorContext
from weft.workflow._definition import Workflow, define
from weft.workflow._generator import when_all, when_any
from weft.workflow._guard import UNGUARDED, Guard, TurnInterrupted
from weft.workflow._history import History
from weft.workflow._info import ParentInfo, WorkflowInfo
from weft.workflow._lines import running_line
from weft.workflow._logger import WorkflowLogger
from weft.workflow._loop import leave_loop
from weft.workflow._machine import ACTIVATIONS, Machine
from weft.workflow._questions import OpenQuestion, Questions
from weft.workflow._saga import Saga
from weft.workflow._scope import CancelScope
from weft.workflow._versions import Workflows, workflows_of

__all__ = [
    "ACTIVATIONS",
    "UNGUARDED",
    "Activities",
    "CancelScope",
    "Child",
    "ChildHandle",
    "Context",
    "GeneratorContext",
    "Guard",
    "History",
    "Machine",
    "OpenQuestion",
    "ParentClose",
    "ParentInfo",
    "Questions",
    "Saga",
    "TurnInterrupted",
    "Workflow",
    "WorkflowInfo",
    "WorkflowLogger",
    "Workflows",
    "child",
    "define",
    "leave_loop",
    "running_line",
    "unguarded",
    "when_all",
    "when_any",
    "workflows_of",
]
