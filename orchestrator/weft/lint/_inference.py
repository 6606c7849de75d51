"""What an expression may be. Several values are possible, and none when the text does not say.

Nothing is imported or run.
"""

from __future__ import annotations

import ast
import builtins

from weft.determinism import RETURNED, rule_of
from weft.lint._modules import Module, Project
from weft.lint._scopes import Assigned, Binding, Defined, Imported, Owner, Scope
from weft.lint._values import (
    SETS,
    STEADY_MAKERS,
    ClassValue,
    External,
    ExternalInstance,
    FunctionValue,
    Instance,
    ModuleValue,
    SetValue,
    Value,
    Values,
    afresh,
    instances_of,
    is_property,
    is_steady_value,
)

DEPTH_MAX = 200
"""So many steps are taken from an expression to what it may be; one that needs more stays unknown."""
_SET_METHODS = {"union", "intersection", "difference", "symmetric_difference", "copy"}
_TRANSPARENT = {
    f"typing.{name}" for name in ("Annotated", "Optional", "Final", "ClassVar", "Union")
}


class Inference:
    """Answers what an expression may be. Each is worked out once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[ast.expr, Values] = {}
        self._texts: dict[ast.Constant, ast.expr | None] = {}
        """Annotations that are written as strings, parsed."""
        self._depth = 0
        self._followed: set[tuple[str, str]] = set()
        """(file, name) of the imports that are being followed: modules may import a name from one another."""

    def of(self, expression: ast.expr, scope: Scope, module: Module) -> Values:
        if expression in self._known:
            return self._known[expression]
        self._known[
            expression
        ] = ()  # what is asked for while it is worked out: a definition in a circle
        found = tuple(dict.fromkeys(self._of(expression, scope, module)))
        self._known[expression] = found
        return found

    def _of(self, node: ast.expr, scope: Scope, module: Module) -> Values:
        match node:
            case ast.Name():
                return self.name(node.id, scope, module)
            case ast.Attribute():
                owners = self.of(node.value, scope, module)
                return tuple(found for owner in owners for found in self.member(owner, node.attr))
            case ast.Call():
                return self._call(node, scope, module)
            case ast.Await() | ast.NamedExpr():
                return self.of(node.value, scope, module)
            case ast.IfExp():
                return (*self.of(node.body, scope, module), *self.of(node.orelse, scope, module))
            case ast.BoolOp():
                return tuple(
                    value for part in node.values for value in self.of(part, scope, module)
                )
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                sides = (*self.of(node.left, scope, module), *self.of(node.right, scope, module))
                return tuple(side for side in sides if isinstance(side, SetValue))
            case ast.BinOp(op=ast.Div()):
                return tuple(
                    value
                    for value in self.of(node.left, scope, module)
                    if value == ExternalInstance("pathlib.Path")
                )
            case ast.Set():
                return (SetValue(all(self.is_steady(one, scope, module) for one in node.elts)),)
            case ast.SetComp():
                inner = module.scopes.of_node.get(node, scope)
                return (SetValue(self.is_steady(node.elt, inner, module)),)
            case ast.Constant():
                return (ExternalInstance(f"builtins.{type(node.value).__name__}"),)
            case _:
                return ()

    def name(self, name: str, scope: Scope, module: Module) -> Values:
        """What a name may mean where it is used."""
        owner = scope.owner_of(name)
        if owner is not None:
            return tuple(
                value
                for binding in owner.bindings.get(name, [])
                for value in self.bound(binding, owner, module)
            )
        return self._from_stars(name, module) or (
            (External(f"builtins.{name}"),) if hasattr(builtins, name) else ()
        )

    def _from_stars(self, name: str, module: Module) -> Values:
        for star in module.scope.stars:
            source = self._project.find(star, module)
            if source is None and rule_of(f"{star}.{name}"):
                return (External(f"{star}.{name}"),)
            if source is not None and source is not module and name in source.scope.bindings:
                return self.name(name, source.scope, source)
        return ()

    def bound(self, binding: Binding, scope: Scope, module: Module) -> Values:
        """What one binding of a name in a scope may be."""
        match binding:
            case Defined(node=ast.ClassDef() as node):
                return (ClassValue(module, node),)
            case Defined(node=node):
                return (FunctionValue(module, node),) if not isinstance(node, ast.ClassDef) else ()
            case Owner():
                kind = ClassValue if binding.is_class else Instance
                return (kind(module, binding.node),)
            case Imported():
                return self._imported(binding, module)
            case Assigned():
                return self._assigned(binding, scope, module)

    def _assigned(self, binding: Assigned, scope: Scope, module: Module) -> Values:
        declared = self.declared(binding.annotation, scope, module) if binding.annotation else ()
        assigned = self.of(binding.value, scope, module) if binding.value is not None else ()
        # `pending: set[int] = set()`: the declaration knows the members, the value does not.
        if any(isinstance(value, SetValue) for value in declared):
            return declared
        return (*declared, *assigned)

    def _imported(self, binding: Imported, importer: Module) -> Values:
        source = self._project.find(binding.module, importer)
        if not binding.member:
            return (ModuleValue(source) if source else External(binding.module),)
        # A file of a library's name imports from that, and a package's own file its submodules, not itself.
        if source is not None and source is not importer:
            return self._followed_once(source, binding.member)
        submodule = self._project.find(f"{binding.module}.{binding.member}", importer)
        if submodule is not None:
            return (ModuleValue(submodule),)
        return (External(f"{binding.module}.{binding.member}"),)

    def _followed_once(self, source: Module, name: str) -> Values:
        place = (source.file, name)
        if place in self._followed:
            return ()
        self._followed.add(place)
        try:
            return self.member(ModuleValue(source), name)
        finally:
            self._followed.discard(place)

    def member(self, owner: Value, name: str) -> Values:
        """What `owner.name` may be."""
        match owner:
            case External():
                return self._external_member(owner, name)
            case ExternalInstance():
                known = RETURNED.get(f"{owner.name}.{name}")
                if known:
                    return (ExternalInstance(known, owner.is_reported),)
                return () if owner.is_reported else (External(f"{owner.name}.{name}"),)
            case ModuleValue(module=module):
                if name in module.scope.bindings or module.scope.stars:
                    return self.name(name, module.scope, module)
                below = self._project.find(f"{module.name}.{name}", module)
                return (ModuleValue(below),) if below else ()
            case ClassValue() | Instance():
                return self._class_member(owner, name, set())
            case FunctionValue() if is_property(owner.node):
                return tuple(
                    found for value in self._returned(owner) for found in self.member(value, name)
                )
            case _:
                return ()

    def _external_member(self, owner: External, name: str) -> Values:
        whole = f"{owner.name}.{name}"
        module = self._project.find(whole)
        return (ModuleValue(module) if module else External(whole),)

    def _class_member(
        self, owner: ClassValue | Instance, name: str, seen: set[ast.ClassDef]
    ) -> Values:
        if owner.node in seen:
            return ()
        seen.add(owner.node)
        scope = owner.module.scopes.of_node[owner.node]
        if name in scope.bindings:
            return self.name(name, scope, owner.module)
        assigned = owner.module.scopes.attributes[owner.node].get(name, [])
        if assigned:
            values = (self._assigned(one, where, owner.module) for one, where in assigned)
            return tuple(afresh(value) for found in values for value in found)
        for base in self.bases(owner):
            if isinstance(base, ClassValue):
                found = self._class_member(base, name, seen)
                if found:
                    return found
            elif isinstance(base, External):
                return (External(f"{base.name}.{name}"),)
        return ()

    def bases(self, owner: ClassValue | Instance) -> Values:
        scope = owner.module.scopes.of_node[owner.node].parent
        assert scope is not None, "a class is in a module"
        return tuple(
            value for base in owner.node.bases for value in self.of(base, scope, owner.module)
        )

    def _call(self, node: ast.Call, scope: Scope, module: Module) -> Values:
        is_maker = isinstance(node.func, ast.Attribute) and node.func.attr in STEADY_MAKERS
        found: list[Value] = [ExternalInstance("asyncio.Future")] if is_maker else []
        for function in self.of(node.func, scope, module):
            match function:
                case External(name=name):
                    found += self._external_call(name, node, scope, module)
                case ClassValue():
                    found.append(Instance(function.module, function.node))
                case FunctionValue():
                    found += self._returned(function)
                case _:
                    pass
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if owner is not None and node.func.attr in _SET_METHODS:  # type: ignore[attr-defined]
            owners = self.of(owner, scope, module)
            found += [one for one in owners if isinstance(one, SetValue)]
        return tuple(found)

    def _external_call(self, name: str, node: ast.Call, scope: Scope, module: Module) -> Values:
        if name in {"builtins.set", "builtins.frozenset"}:
            return (self._made_set(node, scope, module),)
        if name == "functools.partial" and node.args:
            return self.of(node.args[0], scope, module)
        if name == "typing.cast" and node.args:
            return self.declared(node.args[0], scope, module)
        if name == "builtins.super" and not node.args:
            return self._super(scope, module)
        is_reported = scope.kind == "function" and rule_of(name) is not None
        return (ExternalInstance(RETURNED.get(name, name), is_reported),)

    def _super(self, scope: Scope, module: Module) -> Values:
        current: Scope | None = scope
        while current is not None:
            for binding, *_ in current.bindings.values():
                if isinstance(binding, Owner):
                    bases = self.bases(ClassValue(module, binding.node))
                    return tuple(
                        Instance(base.module, base.node)
                        for base in bases
                        if isinstance(base, ClassValue)
                    )
            current = current.parent
        return ()

    def _made_set(self, node: ast.Call, scope: Scope, module: Module) -> SetValue:
        if not node.args:
            return SetValue(is_empty=True)
        match node.args[0]:
            case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() as made:
                inner = module.scopes.of_node.get(made, scope)
                return SetValue(self.is_steady(made.elt, inner, module))
            case ast.List() | ast.Tuple() | ast.Set() as made:
                return SetValue(all(self.is_steady(one, scope, module) for one in made.elts))
            case other:
                values = self.of(other, scope, module)
                return SetValue(ExternalInstance("builtins.range") in values)

    def is_steady(self, node: ast.expr, scope: Scope, module: Module) -> bool:
        """Whether it has the same hash in every process: numbers, and tasks and futures of a workflow."""
        if isinstance(node, ast.Tuple):
            return all(self.is_steady(part, scope, module) for part in node.elts)
        return any(is_steady_value(value) for value in self.of(node, scope, module))

    def _returned(self, function: FunctionValue) -> Values:
        """What a function gives, from its annotation."""
        hint = function.node.returns
        scope = function.module.scopes.of_node[function.node].parent
        if hint is None or scope is None:
            return ()
        return self.declared(hint, scope, function.module)

    def declared(self, hint: ast.expr, scope: Scope, module: Module) -> Values:
        """What something is that is declared with this type."""
        match hint:
            case ast.Constant(value=str() as text):
                if hint not in self._texts:  # the same node each time, so that circles are noticed
                    self._texts[hint] = _parsed(text)
                parsed = self._texts[hint]
                return self.declared(parsed, scope, module) if parsed is not None else ()
            case ast.BinOp(op=ast.BitOr()):
                left = self.declared(hint.left, scope, module)
                return (*left, *self.declared(hint.right, scope, module))
            case ast.Subscript():
                return self._declared_generic(hint, scope, module)
            case ast.Name() | ast.Attribute():
                values = self.of(hint, scope, module)
                return tuple(found for value in values for found in instances_of(value))
            case _:
                return ()

    def _declared_generic(self, hint: ast.Subscript, scope: Scope, module: Module) -> Values:
        parts = hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
        found: list[Value] = []
        for base in self.of(hint.value, scope, module):
            if isinstance(base, External) and base.name in SETS:
                members = self.declared(parts[0], scope, module) if parts else ()
                found.append(SetValue(any(is_steady_value(member) for member in members)))
            elif isinstance(base, External) and base.name in _TRANSPARENT:
                wanted = parts if base.name == "typing.Union" else parts[:1]
                found += [one for part in wanted for one in self.declared(part, scope, module)]
            else:
                found += instances_of(base)
        return tuple(found)


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None
