"""An input for a workflow, such as its type asks for."""

from __future__ import annotations

import inspect
import shlex
from typing import Any, get_type_hints

from weft.workflow import Workflow

_EXAMPLES: dict[Any, str] = {
    str: '"Ada"',
    int: "1",
    float: "1.5",
    bool: "true",
    list: "[]",
}


def example_input(workflow: Workflow[Any, Any]) -> str:
    """` --input ...` as one types it in a shell; empty for a workflow that takes none."""
    parameters = list(inspect.signature(workflow.function).parameters)[1:]
    if not parameters:
        return ""
    try:
        hint = get_type_hints(workflow.function).get(parameters[0], Any)
    except NameError:  # a hint for type checkers alone
        hint = Any
    if hint is Any:
        return " --input JSON"
    example = _EXAMPLES.get(getattr(hint, "__origin__", hint), "{...}")
    return f" --input {shlex.quote(example)}"
