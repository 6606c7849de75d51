"""Calls that stop a whole process where only one thing should wait."""

from __future__ import annotations

import ast

SLEEP_ALLOWED = ("weft.log.embedded", "weft.host", "weft.worker._watchdog")
"""They wait in threads of their own, for short and bounded times."""

THREADS_ASK_THE_HOST = ("weft.client", "weft.worker")


def findings(source: str, module: str) -> list[str]:
    """Where the module sleeps, or makes threads past its host, without being allowed to; one line each."""
    problems = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom | ast.Attribute):
            continue
        if _is_sleep(node) and not _is_in(module, SLEEP_ALLOWED):
            why = "sleeps: wait for what is waited for, or `await asyncio.sleep`"
            problems.append(f"{module}:{node.lineno} {why}")
        elif _is_thread(node) and _is_in(module, THREADS_ASK_THE_HOST):
            why = "makes threads or events of its own: ask the host, so that it runs on simulated ones too"
            problems.append(f"{module}:{node.lineno} {why}")
    return problems


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _is_sleep(node: ast.ImportFrom | ast.Attribute) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "time" and any(alias.name == "sleep" for alias in node.names)
    owner = _owner(node)
    return node.attr == "sleep" and (owner == "time" or owner.endswith("host"))


def _owner(node: ast.Attribute) -> str:
    """`a` of `a.b`, `c` of `a.c.b`."""
    value = node.value
    return (
        value.id
        if isinstance(value, ast.Name)
        else value.attr
        if isinstance(value, ast.Attribute)
        else ""
    )


def _is_thread(node: ast.ImportFrom | ast.Attribute) -> bool:
    names = {"Thread", "Event", "Timer", "Condition"}
    if isinstance(node, ast.ImportFrom):
        return node.module == "threading" and any(alias.name in names for alias in node.names)
    return node.attr in names and _owner(node) == "threading"
