"""The values that an expression may have: of a library, of the project, or a set."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from weft.determinism import RETURNED
from weft.lint._modules import Module
from weft.lint._scopes import FunctionNode


@dataclass(frozen=True, slots=True)
class External:
    """Something of a library, or a builtin, by its whole name."""

    name: str


@dataclass(frozen=True, slots=True)
class ExternalInstance:
    """What calling it gives. `is_reported`: that call is a finding already, and so are its consequences."""

    name: str
    is_reported: bool = False


@dataclass(frozen=True, slots=True)
class ModuleValue:
    module: Module


@dataclass(frozen=True, slots=True)
class FunctionValue:
    module: Module
    node: FunctionNode


@dataclass(frozen=True, slots=True)
class ClassValue:
    module: Module
    node: ast.ClassDef


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a class of the project."""

    module: Module
    node: ast.ClassDef


@dataclass(frozen=True, slots=True)
class SetValue:
    """`is_steady`: its members have the same hashes in every process. `is_empty`: filled later, who knows with what."""

    is_steady: bool = False
    is_empty: bool = False


Value = External | ExternalInstance | ModuleValue | FunctionValue | ClassValue | Instance | SetValue
Values = tuple[Value, ...]

SETS = {
    *("builtins.set", "builtins.frozenset", "typing.Set", "typing.FrozenSet", "typing.AbstractSet"),
    *("typing.MutableSet", "collections.abc.Set", "collections.abc.MutableSet"),
}
STEADY_MAKERS = {
    *("create_task", "ensure_future", "execute_activity", "execute_child", "start_child", "receive_signal"),
    *("wait_condition", "call_activity", "call_child_workflow", "create_timer", "wait_for_external_event"),
    *("when_all", "when_any"),
}  # fmt: skip
"""Methods that make tasks and futures, whatever their object is called."""
_STEADY = {
    *("builtins.int", "builtins.bool", "builtins.len", "asyncio.create_task", "asyncio.ensure_future"),
    *("asyncio.Task", "asyncio.Future", "asyncio.TaskGroup.create_task", "asyncio.shield", "asyncio.gather"),
    "asyncio.AbstractEventLoop.create_task",
}  # fmt: skip
_CONTEXTS = {"weft.workflow.Context", "weft.workflow.GeneratorContext"}
"""Nearly all that their methods give are futures."""


def is_steady_value(value: Value) -> bool:
    """Whether it has the same hash in every process: numbers, and tasks and futures of a workflow."""
    if not isinstance(value, ExternalInstance):
        return False
    owner, _, method = value.name.rpartition(".")
    return value.name in _STEADY or (owner in _CONTEXTS and method != "now")


def instances_of(value: Value) -> Values:
    """What something is that is declared as this."""
    match value:
        case External(name=name) if name in SETS:
            return (SetValue(),)
        case External(name=name):
            return (ExternalInstance(RETURNED.get(name, name)),)
        case ClassValue():
            return (Instance(value.module, value.node),)
        case ExternalInstance() | SetValue() | Instance() | ModuleValue() | FunctionValue():
            return ()


def afresh(value: Value) -> Value:
    """As an attribute, which was filled elsewhere: nothing was reported where it is used."""
    return replace(value, is_reported=False) if isinstance(value, ExternalInstance) else value


def is_property(node: FunctionNode) -> bool:
    return any(
        ast.unparse(decorator).rpartition(".")[2] in {"property", "cached_property"}
        for decorator in node.decorator_list
    )
