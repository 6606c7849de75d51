"""Walks through code and knows in which scope it is."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from weft.lint._modules import Module
from weft.lint._scopes import FunctionNode, Scope, elements_of


class ScopedVisitor(ast.NodeVisitor):
    """Visits expressions and statements, but no annotations: those decide nothing at run time."""

    def __init__(self, module: Module, scope: Scope) -> None:
        self.module = module
        self.scope = scope

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.function(node)

    def function(self, node: FunctionNode) -> None:
        """A function that is defined within the code."""
        defaults = [*node.args.defaults, *(one for one in node.args.kw_defaults if one)]
        self.visit_all([*node.decorator_list, *defaults])
        self.visit_within(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_all([*node.args.defaults, *(one for one in node.args.kw_defaults if one)])
        self.visit_within(node, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self.visit_within(node, node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> None:
        self.visit(node.generators[0].iter)
        parts: list[ast.AST] = [*elements_of(node)]
        for index, generator in enumerate(node.generators):
            parts += [generator.target, *generator.ifs, *([generator.iter] if index else [])]
        self.visit_within(node, parts)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = comprehension

    def visit_within(self, opener: ast.AST, nodes: Iterable[ast.AST]) -> None:
        """Visit what is in the scope that a node opens."""
        outer = self.scope
        self.scope = self.module.scopes.of_node[opener]
        self.visit_all(nodes)
        self.scope = outer

    def visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)
