"""Workflows: `from weft import workflow`, then `@workflow.define`."""

from weft.workflow._context import Context, GeneratorContext, WorkflowInfo
from weft.workflow._definition import Workflow, define
from weft.workflow._generator import when_all, when_any
from weft.workflow._machine import ACTIVATIONS, Machine

__all__ = [
    "ACTIVATIONS",
    "Context",
    "GeneratorContext",
    "Machine",
    "Workflow",
    "WorkflowInfo",
    "define",
    "when_all",
    "when_any",
]
