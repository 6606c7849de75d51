"""Where the order of a set is looked at: strings and most other values have other hashes in every process."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from weft.lint._inference import Inference
from weft.lint._modules import Module
from weft.lint._scopes import Scope
from weft.lint._values import External, SetValue
from weft.lint._visitor import ScopedVisitor

_ORDER_FREE = {
    f"builtins.{name}"
    for name in ("sorted", "set", "frozenset", "len", "sum", "min", "max", "any", "all", "bool")
}
"""What gives the same for every order of its argument."""
_ORDERED = {
    f"builtins.{name}"
    for name in (
        "list",
        "tuple",
        "enumerate",
        "iter",
        "zip",
        "map",
        "filter",
        "next",
        "dict.fromkeys",
    )
}
"""What passes on the order of its arguments."""


class Orders:
    """Finds, node by node and outermost first, the sets whose order decides something."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._order_free: set[ast.expr] = set()

    def looked_at(self, node: ast.AST, scope: Scope, module: Module) -> Iterator[ast.expr]:
        """The sets whose order this node looks at."""
        for place in self._places(node, scope, module):
            if place not in self._order_free and self._is_unsteady(place, scope, module):
                yield place

    def _places(self, node: ast.AST, scope: Scope, module: Module) -> Iterator[ast.expr]:
        match node:
            case ast.For():
                yield node.iter
            case ast.SetComp():
                self._order_free.update(generator.iter for generator in node.generators)
            case ast.ListComp() | ast.GeneratorExp() | ast.DictComp():
                iterated = [generator.iter for generator in node.generators]
                if node in self._order_free:
                    self._order_free.update(iterated)
                yield from iterated
            case ast.Starred(ctx=ast.Load()):
                yield node.value
            case ast.Set():
                self._order_free.update(
                    one.value for one in node.elts if isinstance(one, ast.Starred)
                )
            case ast.Call():
                yield from self._places_of_call(node, scope, module)
            case _:
                pass

    def _places_of_call(self, node: ast.Call, scope: Scope, module: Module) -> Iterator[ast.expr]:
        names = {
            value.name
            for value in self._inference.of(node.func, scope, module)
            if isinstance(value, External)
        }
        if names & _ORDER_FREE or node in self._order_free:
            self._order_free.update(node.args)
        elif names & _ORDERED:
            yield from node.args
        elif isinstance(node.func, ast.Attribute):
            if node.func.attr == "join" and len(node.args) == 1:
                yield node.args[0]
            elif node.func.attr == "pop" and not node.args:
                yield node.func.value

    def _is_unsteady(self, node: ast.expr, scope: Scope, module: Module) -> bool:
        values = self._inference.of(node, scope, module)
        if isinstance(node, ast.Name) and not self._is_always_set(node.id, scope, module):
            return False
        return any(
            not value.is_steady
            and not (value.is_empty and self._is_filled_steadily(node, scope, module))
            for value in values
            if isinstance(value, SetValue)
        )

    def _is_always_set(self, name: str, scope: Scope, module: Module) -> bool:
        """Not so where the name is bound again: `names = sorted(names)`."""
        owner = scope.owner_of(name)
        bindings = owner.bindings.get(name, []) if owner else []
        return all(
            any(isinstance(one, SetValue) for one in self._inference.bound(binding, owner, module))
            for binding in bindings
            if owner
        )

    def _is_filled_steadily(self, node: ast.expr, scope: Scope, module: Module) -> bool:
        """Of a set that was made empty: all that is put in has steady hashes, or nothing says what it is."""
        owner = scope.owner_of(node.id) if isinstance(node, ast.Name) else None
        opener = next((one for one, own in module.scopes.of_node.items() if own is owner), None)
        if not isinstance(node, ast.Name) or owner is None or opener is None:
            return True
        additions = _Additions(node.id, self._inference, module, owner)
        body = getattr(opener, "body", None)
        additions.visit_all(body if isinstance(body, list) else [])
        return additions.are_steady


class _Additions(ScopedVisitor):
    """What is added to a set by its name."""

    def __init__(self, name: str, inference: Inference, module: Module, scope: Scope) -> None:
        super().__init__(module, scope)
        self._name = name
        self._inference = inference
        self.are_steady = True

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Attribute(value=ast.Name(id=self._name), attr="add") if node.args:
                value = node.args[0]
                if not self._inference.is_steady(value, self.scope, self.module):
                    self.are_steady = False
            case ast.Attribute(value=ast.Name(id=self._name), attr="update"):
                self.are_steady = False
            case _:
                pass
        self.generic_visit(node)
