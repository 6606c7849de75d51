"""Looks at the body of one function: what it does that it must not, and what it goes on to call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from weft.determinism import (
    ARGUMENTS_NEEDED,
    DIRECT_ACTIVITY,
    HASH_ORDER,
    MUTABLE_GLOBAL,
    SET_ORDER,
    Rule,
    rule_of,
    rule_of_value,
)
from weft.lint._definitions import Definitions
from weft.lint._globals import Global, Globals
from weft.lint._inference import Inference
from weft.lint._modules import Module
from weft.lint._scopes import FunctionNode
from weft.lint._sets import Orders
from weft.lint._values import (
    ClassValue,
    External,
    ExternalInstance,
    FunctionValue,
    Instance,
    Value,
)
from weft.lint._visitor import ScopedVisitor

_RUNS_ACTIVITY = {"execute_activity", "call_activity"}
"""Methods of a context whose first argument runs elsewhere."""
_ONLY_LOOKS = {
    "builtins.isinstance",
    "builtins.issubclass",
    "typing.cast",
    "builtins.getattr",
    "builtins.hasattr",
}
"""They take functions and classes and call none of them."""
_CONSTRUCTORS = ("__new__", "__init__", "__post_init__")
_ENTERED = ("__enter__", "__exit__", "__aenter__", "__aexit__")


@dataclass(frozen=True, slots=True)
class Violation:
    """`module` and `node` say where; `subject` is what was found there."""

    module: Module
    node: ast.expr
    rule: Rule
    subject: str
    called_at: int = 0
    """The line of the call that brings it about, where it stands in none of the functions (a field's default)."""


@dataclass(frozen=True, slots=True)
class Step:
    """From a function to one that it calls, at `line`."""

    target: FunctionValue
    line: int


class Knowledge:
    """What is known of the whole project, for every scan."""

    def __init__(
        self,
        inference: Inference,
        definitions: Definitions,
        globals_: Globals,
        changed: dict[Global, str],
    ) -> None:
        self.inference = inference
        self.definitions = definitions
        self.globals = globals_
        self.changed = changed


def scan(function: FunctionValue, knowledge: Knowledge) -> tuple[list[Violation], list[Step]]:
    """What is wrong in a function itself, and which functions of the project it calls or hands on."""
    scanner = _Scanner(function, knowledge)
    scanner.visit_all(function.node.body)
    return scanner.violations, scanner.steps


class _Scanner(ScopedVisitor):
    def __init__(self, function: FunctionValue, knowledge: Knowledge) -> None:
        super().__init__(function.module, function.module.scopes.of_node[function.node])
        self._name = function.node.name
        self._known = knowledge
        self._orders = Orders(knowledge.inference)
        self._elsewhere = _run_elsewhere(function.node)
        """Expressions whose functions run as activities."""
        self._functions_called: set[ast.expr] = set()
        self._changes: dict[ast.AST, Global] = {}
        """What is changed, by the parts of the expression that changes it: to read it there is no other finding."""
        self.violations: list[Violation] = []
        self.steps: list[Step] = []

    def visit(self, node: ast.AST) -> None:
        if node in self._elsewhere:
            return
        for place in self._orders.looked_at(node, self.scope, self.module):
            self._add(place, SET_ORDER, f"the order of the set `{_text(place)}`")
        if isinstance(node, ast.expr):
            self._look_at_globals(node)
        super().visit(node)

    def function(self, node: FunctionNode) -> None:
        value = FunctionValue(self.module, node)
        names = {one.id for one in self._elsewhere if isinstance(one, ast.Name)}
        if not self._known.definitions.is_activity(value) and node.name not in names:
            super().function(node)

    # Names and attributes: what they are, wherever they stand.

    def visit_Name(self, node: ast.Name) -> None:
        self._load(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._load(node)
        self.visit(node.value)

    def _load(self, node: ast.Name | ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            return
        for value in self._values(node):
            rule = rule_of_value(value.name) if isinstance(value, External) else None
            if rule is not None and isinstance(value, External):
                self._add(node, rule, f"`{value.name}`")
            if isinstance(value, FunctionValue):
                self._follow(value, node)

    def _follow(self, value: FunctionValue, node: ast.expr) -> None:
        if not self._known.definitions.is_activity(value):
            self.steps.append(Step(value, node.lineno))
        elif node in self._functions_called:
            self._add(node, DIRECT_ACTIVITY, f"`{value.node.name}`")

    # Calls

    def visit_Call(self, node: ast.Call) -> None:
        self._functions_called.add(node.func)
        functions = self._values(node.func)
        for function in functions:
            if isinstance(function, External):
                self._call_external(function.name, node)
            elif isinstance(function, ClassValue):
                self._construct(function, node)
        if not any(isinstance(one, External) and one.name in _ONLY_LOOKS for one in functions):
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                self._hand_on(argument)
        self.generic_visit(node)

    def _call_external(self, name: str, node: ast.Call) -> None:
        rule = rule_of(name)
        if rule is not None and not _has_arguments(name, node):
            self._add(node, rule, f"`{_shown(name)}()`")
        if name in {"builtins.sorted", "builtins.min", "builtins.max"}:
            for keyword in node.keywords:
                if keyword.arg == "key" and self._is_hash(keyword.value):
                    self._add(keyword.value, HASH_ORDER, f"`{_text(keyword.value)}`")

    def _hand_on(self, argument: ast.expr) -> None:
        """A function that is refused may be called by whoever gets it: `map(time.sleep, delays)`."""
        if not isinstance(argument, ast.Name | ast.Attribute):
            return
        for value in self._values(argument):
            if isinstance(value, External) and _is_function_name(value.name):
                rule = rule_of(value.name)
                if rule is not None and rule_of_value(value.name) is None:
                    self._add(argument, rule, f"`{_shown(value.name)}`")

    def _construct(self, value: ClassValue, node: ast.Call) -> None:
        for name in _CONSTRUCTORS:
            self._follow_method(value, name, node)
        for default in _factories(value.node, node):
            scope = value.module.scopes.of_node[value.node]
            for made_by in self._known.inference.of(default, scope, value.module):
                if isinstance(made_by, External) and (rule := rule_of(made_by.name)):
                    subject = f"`{_shown(made_by.name)}()` as `default_factory`"
                    found = Violation(value.module, default, rule, subject, node.lineno)
                    self.violations.append(found)
                elif isinstance(made_by, FunctionValue):
                    self._follow(made_by, node)

    def _follow_method(self, value: Value, name: str, node: ast.expr) -> None:
        for method in self._known.inference.member(value, name):
            if isinstance(method, FunctionValue):
                self.steps.append(Step(method, node.lineno))

    def visit_withitem(self, node: ast.withitem) -> None:
        for value in self._values(node.context_expr):
            if isinstance(value, Instance):
                for name in _ENTERED:
                    self._follow_method(value, name, node.context_expr)
            elif isinstance(value, ExternalInstance) and not value.is_reported:
                rule = rule_of(f"{value.name}.__enter__")
                if rule is not None:
                    self._add(node.context_expr, rule, f"`{_shown(value.name)}`")
        self.generic_visit(node)

    # Globals, hashes

    def _look_at_globals(self, node: ast.expr) -> None:
        globals_ = self._known.globals
        changed = globals_.changed_by(node, self.scope, self.module)
        if changed is not None:
            self._changes |= dict.fromkeys(ast.walk(node), changed)
            self._add(node, MUTABLE_GLOBAL, f"`{changed[1]}`, which is changed here,")
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            read = globals_.of(node, self.scope, self.module)
            if read and read in self._known.changed and read != self._changes.get(node):
                place = self._known.changed[read]
                self._add(node, MUTABLE_GLOBAL, f"`{read[1]}`, which is changed at {place},")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._look_at_hashes([node.left, node.right])
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if any(isinstance(one, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for one in node.ops):
            self._look_at_hashes([node.left, *node.comparators])
        self.generic_visit(node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        self._look_at_hashes([node.value])
        self.generic_visit(node)

    def _look_at_hashes(self, nodes: list[ast.expr]) -> None:
        """Hashes and IDs with which something is computed, so that they decide it. Looking one up is harmless."""
        for node in nodes if self._name != "__hash__" else []:
            if (
                isinstance(node, ast.Call)
                and len(node.args) == 1
                and self._is_hash(node.func)
                and not self._known.inference.is_steady(node.args[0], self.scope, self.module)
            ):
                self._add(node, HASH_ORDER, f"`{_text(node)}`")

    def _is_hash(self, node: ast.expr) -> bool:
        found = {"builtins.hash", "builtins.id"}
        return any(isinstance(one, External) and one.name in found for one in self._values(node))

    def _values(self, node: ast.expr) -> tuple[Value, ...]:
        return self._known.inference.of(node, self.scope, self.module)

    def _add(self, node: ast.expr, rule: Rule, subject: str) -> None:
        self.violations.append(Violation(self.module, node, rule, subject))


def _run_elsewhere(function: FunctionNode) -> set[ast.AST]:
    """The functions that are handed to a context to run as activities, or are made activities."""
    found: set[ast.AST] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name in _RUNS_ACTIVITY:
                found |= set(_functions_in(node.args[0]))
    return found


def _functions_in(node: ast.expr) -> Iterator[ast.expr]:
    """The function itself, or what `activity.define(function)` and `function.options(...)` are made of."""
    if isinstance(node, ast.Name | ast.Attribute | ast.Lambda):
        yield node
    elif isinstance(node, ast.Call):
        yield from (part for argument in node.args[:1] for part in _functions_in(argument))


def _has_arguments(name: str, node: ast.Call) -> bool:
    needed = ARGUMENTS_NEEDED.get(name)
    if needed is None:
        return False
    return len(node.args) + len(node.keywords) >= needed or any(
        isinstance(argument, ast.Starred) for argument in node.args
    )


def _factories(node: ast.ClassDef, call: ast.Call) -> Iterator[ast.expr]:
    """What makes the fields of a dataclass or model that the call does not give."""
    given = {keyword.arg for keyword in call.keywords}
    if None in given or any(isinstance(argument, ast.Starred) for argument in call.args):
        return
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
    for field in fields[len(call.args) :]:
        if isinstance(field.target, ast.Name) and field.target.id in given:
            continue
        if isinstance(field.value, ast.Call):
            yield from (
                keyword.value
                for keyword in field.value.keywords
                if keyword.arg in {"default_factory", "factory"}
            )


def _is_function_name(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last[:1].islower() or last.startswith("_")


def _shown(name: str) -> str:
    return name.removeprefix("builtins.")


def _text(node: ast.expr) -> str:
    """The code, on one short line."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 40 else f"{text[:37]}..."
