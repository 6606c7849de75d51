"""How long a file and a function may be. Long ones hide what they do; there is no list of exceptions."""

from __future__ import annotations

import ast

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
"""Without its docstring and decorators."""


def findings(source: str, name: str) -> list[str]:
    """The file and its functions that are too long, one line each."""
    found: list[str] = []
    lines = source.count("\n")
    if lines > FILE_LINES_MAX:
        found.append(f"{name} has {lines} lines; {FILE_LINES_MAX} is the most")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _lines(node)
            if lines > FUNCTION_LINES_MAX:
                found.append(
                    f"{name}:{node.lineno} {node.name} has {lines} lines; {FUNCTION_LINES_MAX} is the most"
                )
    return found


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None, "parsed from source"
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines
