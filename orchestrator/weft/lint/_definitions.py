"""Which functions are workflows and which are activities."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from weft.lint._inference import Inference
from weft.lint._modules import Module, Project
from weft.lint._scopes import FunctionNode, Scope
from weft.lint._values import External, FunctionValue

WORKFLOW = {"weft.workflow.define"}
ACTIVITY = {"weft.activity.define"}


class Definitions:
    """Knows them by their decorators, and by `charge = activity.define(...)(function)`."""

    def __init__(self, project: Project, inference: Inference) -> None:
        self._inference = inference
        self._applied: dict[FunctionNode, set[str]] = {}
        """Functions that are given to a decorator in a call, each with the names of these decorators."""
        for module in project.modules:
            for opener, scope in module.scopes.of_node.items():
                self._note(opener, scope, module)
        self.workflows = [
            function for module in project.modules for function in self._workflows(module)
        ]

    def _note(self, opener: ast.AST, scope: Scope, module: Module) -> None:
        body = getattr(opener, "body", None)
        for statement in body if isinstance(body, list) else []:
            value = getattr(statement, "value", None)
            if not isinstance(value, ast.Call):
                continue
            for decorator, argument in _applications(value):
                names = self._names(decorator, scope, module)
                if not names & (WORKFLOW | ACTIVITY):
                    continue
                for function in self._inference.of(argument, scope, module):
                    if isinstance(function, FunctionValue):
                        self._applied.setdefault(function.node, set()).update(names)

    def _workflows(self, module: Module) -> Iterator[FunctionValue]:
        for node in module.scopes.of_node:
            if isinstance(node, FunctionNode):
                function = FunctionValue(module, node)
                if self._decorated(function) & WORKFLOW:
                    yield function

    def is_activity(self, function: FunctionValue) -> bool:
        return bool(self._decorated(function) & ACTIVITY)

    def is_workflow(self, function: FunctionValue) -> bool:
        return bool(self._decorated(function) & WORKFLOW)

    def _decorated(self, function: FunctionValue) -> set[str]:
        scope = function.module.scopes.of_node[function.node].parent
        assert scope is not None, "a function is in a module"
        found = set(self._applied.get(function.node, ()))
        for decorator in function.node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            found |= self._names(called, scope, function.module)
        return found

    def _names(self, node: ast.expr, scope: Scope, module: Module) -> set[str]:
        values = self._inference.of(node, scope, module)
        return {value.name for value in values if isinstance(value, External)}


def _applications(call: ast.Call) -> Iterator[tuple[ast.expr, ast.expr]]:
    """(decorator, what it is applied to) of `define(f)` and of `define(name="x")(f)`."""
    for argument in call.args[:1]:
        yield (call.func.func if isinstance(call.func, ast.Call) else call.func), argument
