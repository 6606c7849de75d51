"""Calls that stop a whole process where only one thing should wait."""

from __future__ import annotations

import ast

SLEEP_ALLOWED = ("weft.log.embedded", "weft.worker._owner")
"""The backend and the owner's loop wait in threads of their own, for short and bounded times."""


def findings(source: str, module: str) -> list[str]:
    """Where the module calls `time.sleep` without being allowed to, one line each."""
    if any(module == allowed or module.startswith(f"{allowed}.") for allowed in SLEEP_ALLOWED):
        return []
    return [
        f"{module}:{node.lineno} sleeps: wait for what is waited for, or `await asyncio.sleep`"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom | ast.Attribute) and _is_sleep(node)
    ]


def _is_sleep(node: ast.ImportFrom | ast.Attribute) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "time" and any(alias.name == "sleep" for alias in node.names)
    return node.attr == "sleep" and isinstance(node.value, ast.Name) and node.value.id == "time"
