"""The linter gets through everything that Python gets through, however it is written."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.lint._definitions import Definitions
from weft.lint._inference import Inference
from weft.lint._linter import findings_from
from weft.lint._modules import Module, Project, parse, room_for_nesting
from weft.lint._scopes import FunctionNode
from weft.lint._values import FunctionValue

LIBRARY = Path(sysconfig.get_path("stdlib"))
FOLDERS = sorted(
    folder.name
    for folder in LIBRARY.iterdir()
    if (folder / "__init__.py").exists() and folder.name not in {"test", "idlelib", "lib2to3"}
)
STATEMENTS = [
    "import time as {a}", "from time import *", "from . import {a}", "from .{a} import {b} as {c}", "global {a}",
    "{a} = {b}", "{a}, (*{b}, {c}.d) = {b}", "{a}: '{b}' = {c}", "{a} += {b}", "del {a}[{b}], {c}", "return {a}",
    "for {a} in {b}: {c}", "while ({a} := {b}): break", "with {a} as ({b}, {c}): pass", "raise {a} from {b}",
    "try: {a}\nexcept* {b} as {c}: pass",
    "match {a}:\n    case [{b}, *{c}] | {{'k': {b}, **{c}}}: pass\n    case {b}(): 1",
    "def {a}({b}, /, *{c}, d={a}, **e): yield {b}", "class {a}({b}, metaclass={c}): {c} = {a}", "lambda {a}={b}: {c}",
    "@{a}\ndef {b}(): nonlocal_ = {c}", "[{a} for {a} in {b} if {c} for {b} in {a}]", "{{*{a}, {b}}}.pop({c})",
    "print(f'{{{a}!r:>{{{b}}}}}', *{c}, **{a})", "{a} | {b} if {c} else set({a})", "{a}.{b} = {c}.{a}({b})",
    "self.{a} = self.{b}", "super().{a}({b})", "id({a}) < hash({b})", "{a}.execute_activity({b}, {c})",
]  # fmt: skip
NAMES = ["time", "open", "self", "set", "a", "b", "ctx", "super"]


def lint_everything(modules: list[Module]) -> int:
    """Take every function for a workflow. Returns how many there were."""
    project = Project(modules)
    inference = Inference(project)
    definitions = Definitions(project, inference)
    functions = [
        FunctionValue(module, node)
        for module in modules
        for node in module.scopes.of_node
        if isinstance(node, FunctionNode)
    ]
    for finding in findings_from(project, inference, definitions, functions):
        assert finding.line >= 1
        assert finding.column >= 1
        assert str(finding)
    return len(functions)


def parsed(files: list[Path]) -> list[Module]:
    modules = []
    for file in files:
        name = file.relative_to(LIBRARY).with_suffix("").as_posix().replace("/", ".")
        modules.append(parse(file.as_posix(), file.read_bytes(), name))
    return modules


@pytest.mark.parametrize("letter", "_abcdefghijklmnopqrstuvwxyz")
def test_modules_of_the_standard_library_are_got_through(letter: str) -> None:
    modules = parsed(sorted(LIBRARY.glob(f"{letter}*.py")))
    assert lint_everything(modules) > 0 or not any(
        isinstance(node, FunctionNode) for module in modules for node in ast.walk(module.tree)
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_packages_of_the_standard_library_are_got_through(folder: str) -> None:
    lint_everything(parsed(sorted((LIBRARY / folder).rglob("*.py"))))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(STATEMENTS), *[st.sampled_from(NAMES)] * 3), max_size=8))
def test_any_mixture_of_statements_is_got_through(
    statements: list[tuple[str, str, str, str]],
) -> None:
    body = "\n".join(text.format(a=a, b=b, c=c) for text, a, b, c in statements) or "pass"
    indented = "\n".join(f"        {line}" for line in body.splitlines())
    source = f"class C(D):\n    def method(self, ctx):\n{indented}\n"
    try:
        module = parse("app.py", source.encode(), "app")
    except SyntaxError:
        return
    assert lint_everything([module]) >= 1


@pytest.mark.parametrize("depth", [300, 900])
def test_deeply_nested_code_is_got_through(depth: int) -> None:
    """Long sums and chains of calls, aliases and `elif`."""
    source = "\n".join(
        [
            "x0 = open",
            *(f"x{number} = x{number - 1}" for number in range(1, depth)),
            "def f(a):",
            f"    return {'1 + ' * depth} x{depth - 1}('x')",
            "def g(a):",
            f"    return a{'.b()' * (depth // 2)}",
            "def h(a):",
            "    if a: pass",
            *(f"    elif a == {number}: pass" for number in range(depth - 10)),
        ]
    )
    with room_for_nesting():
        assert lint_everything([parse("app.py", source.encode(), "app")]) == 3


def test_statements_are_valid_python_each_on_its_own() -> None:
    """Otherwise the test above would try nothing."""
    for text in STATEMENTS:
        body = "\n".join(f"    {line}" for line in text.format(a="x", b="y", c="z").splitlines())
        valid = "def f():\n    pass\n" if "import *" in text else f"def f(x0):\n{body}\n"
        parse("app.py", valid.encode())
