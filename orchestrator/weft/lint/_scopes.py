"""Which name means what where: the scopes of a module and all that is bound in them.

Only what the text says is looked at. A name that is bound several times in a scope may mean any of these things.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Assigned:
    """Bound to a value, or declared with a type, or both. Neither: something that the text does not say."""

    value: ast.expr | None = None
    annotation: ast.expr | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """`import module` (then `member` is empty) or `from module import member`."""

    module: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Defined:
    """A function or class."""

    node: FunctionNode | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Owner:
    """The first parameter of a method: `self`, or the class of a class method."""

    node: ast.ClassDef
    is_class: bool


Binding = Assigned | Imported | Defined | Owner


@dataclass(slots=True, eq=False)
class Scope:
    """A module, class or function (a lambda or comprehension too) and the names that it binds."""

    kind: Literal["module", "class", "function"]
    parent: Scope | None = None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    global_names: set[str] = field(default_factory=set)
    stars: list[str] = field(default_factory=list)
    """Modules of which everything is imported."""

    def bind(self, name: str, binding: Binding) -> None:
        self.bindings.setdefault(name, []).append(binding)

    def module(self) -> Scope:
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def owner_of(self, name: str) -> Scope | None:
        """The scope in which a name that is used here is bound; None when it is bound nowhere in the module."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.global_names:
                return scope.module()
            if name in scope.bindings and (scope.kind != "class" or scope is self):
                return scope
            scope = scope.parent
        return None


@dataclass(slots=True, eq=False)
class Scopes:
    """All scopes of a module, by the node that opens each."""

    of_node: dict[ast.AST, Scope] = field(default_factory=dict)
    class_of: dict[FunctionNode, ast.ClassDef] = field(default_factory=dict)
    """Of methods only."""
    attributes: dict[ast.ClassDef, dict[str, list[tuple[Assigned, Scope]]]] = field(
        default_factory=dict
    )
    """What methods of a class assign to attributes of `self`, and where."""


def scopes_of(tree: ast.Module, package: str) -> Scopes:
    """The scopes of a module that lies in `package` (which relative imports start from)."""
    scopes = Scopes()
    binder = _Binder(scopes, package)
    binder.scope = scopes.of_node[tree] = Scope("module")
    for statement in tree.body:
        binder.visit(statement)
    return scopes


class _Binder(ast.NodeVisitor):
    def __init__(self, scopes: Scopes, package: str) -> None:
        self._scopes = scopes
        self._package = package
        self.scope = Scope("module")
        self._class: ast.ClassDef | None = None
        """The class in whose method we are."""
        self._self = ""
        """What that method calls its instance."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: FunctionNode) -> None:
        self.scope.bind(node.name, Defined(node))
        owner = self._class if self.scope.kind == "class" else None
        former = self.scope, self._class, self._self
        self._visit_all([*node.decorator_list, *_defaults(node.args)])
        self.scope = self._scopes.of_node[node] = Scope("function", self.scope)
        self._bind_parameters(node.args)
        if owner is not None:
            self._scopes.class_of[node] = owner
            self._bind_owner(node, owner)
        self._visit_all(node.body)
        self.scope, self._class, self._self = former

    def _bind_parameters(self, arguments: ast.arguments) -> None:
        for parameter in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            self.scope.bind(parameter.arg, Assigned(annotation=parameter.annotation))
        for rest in (arguments.vararg, arguments.kwarg):
            if rest is not None:
                self.scope.bind(rest.arg, Assigned())

    def _bind_owner(self, node: FunctionNode, owner: ast.ClassDef) -> None:
        decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
        parameters = [*node.args.posonlyargs, *node.args.args]
        if not parameters or "staticmethod" in decorators:
            return
        first = parameters[0].arg
        is_class = "classmethod" in decorators or node.name == "__new__"
        self.scope.bindings[first] = [Owner(owner, is_class)]
        self._class, self._self = owner, "" if is_class else first

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_all(_defaults(node.args))
        self.scope = self._scopes.of_node[node] = Scope("function", self.scope)
        self._bind_parameters(node.args)
        self.visit(node.body)
        assert self.scope.parent is not None, "opened above"
        self.scope = self.scope.parent

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.bind(node.name, Defined(node))
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        former = self.scope, self._class, self._self
        self.scope = self._scopes.of_node[node] = Scope("class", self.scope)
        self._scopes.attributes[node] = {}
        self._class, self._self = node, ""
        self._visit_all(node.body)
        self.scope, self._class, self._self = former

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> None:
        self.visit(node.generators[0].iter)
        self.scope = self._scopes.of_node[node] = Scope("function", self.scope)
        for index, generator in enumerate(node.generators):
            self._bind_unknown(generator.target)
            self._visit_all([*([generator.iter] if index else []), *generator.ifs])
        self._visit_all(elements_of(node))
        assert self.scope.parent is not None, "opened above"
        self.scope = self.scope.parent

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.asname:
                self.scope.bind(alias.asname, Imported(alias.name))
            else:
                top = alias.name.partition(".")[0]
                self.scope.bind(top, Imported(top))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = absolute(node, self._package)
        for alias in node.names:
            if alias.name == "*":
                self.scope.stars.append(module)
            else:
                self.scope.bind(alias.asname or alias.name, Imported(module, alias.name))

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.global_names |= set(node.names)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        self._bind(node.target, node.value, node.annotation)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        if isinstance(node.target, ast.Name) and node.target.id not in self.scope.global_names:
            self.scope.bindings.setdefault(node.target.id, [])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_For(self, node: ast.For) -> None:
        self._bind_unknown(node.target)
        self.generic_visit(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self._bind_unknown(node.target)
        self.generic_visit(node)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            self._bind(node.optional_vars, node.context_expr)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.scope.bind(node.name, Assigned())
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._bind_pattern(node, node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind_pattern(node, node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind_pattern(node, node.rest)

    def _bind_pattern(self, node: ast.AST, name: str | None) -> None:
        if name:
            self.scope.bind(name, Assigned())
        self.generic_visit(node)

    def _bind(
        self, target: ast.expr, value: ast.expr | None, annotation: ast.expr | None = None
    ) -> None:
        match target:
            case ast.Name():
                self._bind_name(target.id, Assigned(value, annotation))
            case ast.Tuple() | ast.List():
                self._bind_each(target.elts, value)
            case ast.Attribute(value=ast.Name(id=name)) if self._class and name == self._self:
                attributes = self._scopes.attributes[self._class]
                assigned = Assigned(value, annotation)
                attributes.setdefault(target.attr, []).append((assigned, self.scope))
            case _:
                self._bind_unknown(target)

    def _bind_each(self, targets: list[ast.expr], value: ast.expr | None) -> None:
        """`a, b = 1, 2`, or of a value whose parts the text does not say."""
        values: Iterable[ast.expr | None] = [None] * len(targets)
        if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(targets):
            values = value.elts
        for target, part in zip(targets, values, strict=True):
            if part is None or isinstance(part, ast.Starred):
                self._bind_unknown(target)
            else:
                self._bind(target, part)

    def _bind_unknown(self, target: ast.AST) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._bind_name(node.id, Assigned())
        self.visit(target)

    def _bind_name(self, name: str, assigned: Assigned) -> None:
        """In the scope that has the name: `global` says the module's, `:=` passes comprehensions by."""
        is_global = name in self.scope.global_names
        (self.scope.module() if is_global else self.scope).bind(name, assigned)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def elements_of(
    node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
) -> list[ast.expr]:
    return [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The whole name of the module that something is imported from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    base = parts[: max(0, len(parts) - node.level + 1)]
    return ".".join([*base, *([node.module] if node.module else [])])


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default)]
