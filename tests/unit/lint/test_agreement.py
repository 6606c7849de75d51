"""The linter and the workflow's event loop refuse the same things: what one lets pass, the other can do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import DrivenRun
from tests.unit.lint.kit import codes, findings_in, in_workflow
from weft import workflow
from weft.errors import DeterminismError
from weft.lint import lint, rule_of
from weft.workflow import Context

CORPUS = Path(__file__).resolve().parents[2] / "property" / "corpus"
METHODS = sorted(
    name
    for name, _ in inspect.getmembers(asyncio.AbstractEventLoop, inspect.isfunction)
    if not name.startswith("_")
)
NEEDS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "call_at": lambda: (0.0, print),
    "call_exception_handler": lambda: ({},),
    "call_later": lambda: (0.0, len, ""),
    "call_soon": lambda: (len, ""),
    "create_task": lambda: (asyncio.sleep(0),),
    "default_exception_handler": lambda: ({},),
}
"""Arguments of the methods that a workflow may call."""


def call(name: str) -> object:
    """Call a method of the running loop, with any arguments where it should refuse whatever they are."""
    method = getattr(asyncio.get_running_loop(), name)
    if name in NEEDS:
        return method(*NEEDS[name]())
    parameters = inspect.signature(method).parameters.values()
    needed = [
        one for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD
    ]
    positional = [
        one for one in needed if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}
    ]
    named = {one.name: 1 for one in needed if one.kind is one.KEYWORD_ONLY}
    return method(*(1 for _ in positional), **named)


@workflow.define
async def calling(ctx: Context, name: str) -> str:
    given = call(name)
    if inspect.isawaitable(given) and not isinstance(given, asyncio.Future):
        await given
    return "done"


def is_let_pass(run: Callable[[], DrivenRun]) -> bool:
    try:
        run().close()
    except DeterminismError:
        return False
    return True


@pytest.mark.parametrize("name", METHODS)
def test_loop_does_what_the_linter_lets_pass_and_nothing_else(name: str, tmp_path: Path) -> None:
    can_do = is_let_pass(lambda: DrivenRun(calling, name))
    assert can_do is (rule_of(f"asyncio.AbstractEventLoop.{name}") is None)
    source = in_workflow(f"asyncio.get_running_loop().{name}()", "import asyncio")
    assert (codes(findings_in(tmp_path, source)) == []) is can_do


def test_corpus_of_workflows_that_replay_has_no_finding() -> None:
    """Every shape in it is crashed and replayed at each event: what it does is deterministic."""
    report = lint([CORPUS])
    assert report.workflows > 70
    assert report.unreadable == []
    assert report.findings == []
