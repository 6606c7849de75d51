"""Names of modules and attributes of classes that functions change while the program runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from weft.lint._inference import Inference
from weft.lint._modules import Module, Project
from weft.lint._scopes import Assigned, FunctionNode, Imported, Scope
from weft.lint._values import ClassValue, External, FunctionValue, ModuleValue, SetValue
from weft.lint._visitor import ScopedVisitor

Global = tuple[Module, str]
"""Its module and its name there; `Counter.total` is an attribute of a class."""

_CHANGING_METHODS = {
    *(
        "append",
        "appendleft",
        "add",
        "clear",
        "discard",
        "extend",
        "extendleft",
        "insert",
        "pop",
        "popitem",
    ),
    *("popleft", "remove", "reverse", "rotate", "setdefault", "sort", "subtract", "update"),
    *("difference_update", "intersection_update", "symmetric_difference_update"),
}
_CONTAINERS = {
    *(
        "builtins.list",
        "builtins.dict",
        "builtins.bytearray",
        "collections.deque",
        "collections.defaultdict",
    ),
    *(
        "collections.Counter",
        "collections.OrderedDict",
        "collections.ChainMap",
        "weakref.WeakKeyDictionary",
    ),
    *("weakref.WeakValueDictionary", "weakref.WeakSet"),
}


class Globals:
    """Finds which global an expression names, and whether one is changed."""

    def __init__(self, project: Project, inference: Inference) -> None:
        self._project = project
        self._inference = inference

    def of(self, node: ast.expr, scope: Scope, module: Module) -> Global | None:
        """The global that a name or attribute means; None for locals, functions, classes and libraries."""
        if isinstance(node, ast.Name):
            owner = scope.owner_of(node.id)
            if owner is None or owner.kind != "module":
                return None
            return self._in_module(node.id, module, set())
        if isinstance(node, ast.Attribute):
            for value in self._inference.of(node.value, scope, module):
                if isinstance(value, ModuleValue):
                    return self._in_module(node.attr, value.module, set())
                if isinstance(value, ClassValue) and _is_assigned(
                    value.module.scopes.of_node[value.node], node.attr
                ):
                    return value.module, f"{value.node.name}.{node.attr}"
        return None

    def _in_module(self, name: str, module: Module, seen: set[Module]) -> Global | None:
        if module in seen:
            return None
        seen.add(module)
        for binding in module.scope.bindings.get(name, []):
            if isinstance(binding, Imported) and binding.member:
                source = self._project.find(binding.module, module)
                if source is not None:
                    return self._in_module(binding.member, source, seen)
        return (module, name) if _is_assigned(module.scope, name) else None

    def changed_by(self, node: ast.AST, scope: Scope, module: Module) -> Global | None:
        """The global that this one node changes."""
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()) if node.id in scope.global_names:
                return module, node.id
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                return self.of(node, scope, module) or self._holding(node.value, scope, module)
            case ast.Subscript(ctx=ast.Store() | ast.Del()):
                return self._holding(node.value, scope, module)
            case ast.Call(func=ast.Name(id="next"), args=[iterator, *_]):
                return self.of(iterator, scope, module)
            case ast.Call(func=ast.Attribute(attr=method) as function):
                found = self.of(function.value, scope, module)
                is_change = method in _CHANGING_METHODS and found is not None
                return found if is_change and found and self._is_container(found) else None
            case _:
                return None

    def _holding(self, node: ast.expr, scope: Scope, module: Module) -> Global | None:
        """The global that holds what is changed: `STATE` of `STATE.orders["a"]`."""
        while True:
            found = self.of(node, scope, module)
            if found is not None or not isinstance(node, ast.Attribute | ast.Subscript):
                return found
            node = node.value

    def _is_container(self, found: Global) -> bool:
        module, path = found
        scope, name = module.scope, path
        if "." in path:
            class_name, _, name = path.partition(".")
            scope = next(
                value.module.scopes.of_node[value.node]
                for value in self._inference.name(class_name, module.scope, module)
                if isinstance(value, ClassValue)
            )
        return any(
            self._makes_container(binding.value, scope, module)
            for binding in scope.bindings.get(name, [])
            if isinstance(binding, Assigned) and binding.value is not None
        )

    def _makes_container(self, value: ast.expr, scope: Scope, module: Module) -> bool:
        if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp):
            return True
        if any(isinstance(one, SetValue) for one in self._inference.of(value, scope, module)):
            return True
        if not isinstance(value, ast.Call):
            return False
        made_by = self._inference.of(value.func, scope, module)
        return any(isinstance(one, External) and one.name in _CONTAINERS for one in made_by)

    def changed(self) -> dict[Global, str]:
        """Every global that a function of the project changes, with one place where it does."""
        decorators = {
            function for module in self._project.modules for function in self._decorators(module)
        }
        found: dict[Global, str] = {}
        for module in self._project.modules:
            changes = _Changes(self, module, decorators)
            changes.visit_all(module.tree.body)
            for changed, line in changes.found:
                found.setdefault(changed, f"{module.file}:{line}")
        return found

    def _decorators(self, module: Module) -> Iterator[FunctionNode]:
        """Functions that are used as decorators: they run on import, and what they fill is whole by then."""
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                function = decorator.func if isinstance(decorator, ast.Call) else decorator
                for value in self._inference.of(function, module.scope, module):
                    if isinstance(value, FunctionValue):
                        yield value.node


class _Changes(ScopedVisitor):
    def __init__(self, globals_: Globals, module: Module, decorators: set[FunctionNode]) -> None:
        super().__init__(module, module.scope)
        self._globals = globals_
        self._decorators = decorators
        self._is_in_function = False
        self.found: list[tuple[Global, int]] = []

    def visit(self, node: ast.AST) -> None:
        if self._is_in_function and isinstance(node, ast.expr):
            changed = self._globals.changed_by(node, self.scope, self.module)
            if changed is not None:
                self.found.append((changed, node.lineno))
        super().visit(node)

    def function(self, node: FunctionNode) -> None:
        if node in self._decorators:
            return
        was_in_function, self._is_in_function = self._is_in_function, True
        super().function(node)
        self._is_in_function = was_in_function


def _is_assigned(scope: Scope, name: str) -> bool:
    return any(isinstance(binding, Assigned) for binding in scope.bindings.get(name, []))
