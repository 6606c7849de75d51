"""Hooks on their own; tests/unit/executor/test_default.py has them on an executor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from weft.executor import Hooks, Signal, compose_hooks
from weft.executor._hooks import HOOK_NAMES


def test_hooks_are_the_contracts_seven_and_two_more() -> None:
    assert HOOK_NAMES == (
        "on_workflow_start",
        "on_workflow_complete",
        "on_workflow_fail",
        "on_workflow_cancel",
        "on_activity_start",
        "on_activity_complete",
        "on_activity_fail",
        "on_signal",
        "on_retry",
    )


@pytest.mark.requirement("R1-33", "R1-34", "R1-35")
@pytest.mark.parametrize("name", HOOK_NAMES)
def test_composed_hooks_are_called_in_order(name: str) -> None:
    calls: list[tuple[str, str, Any]] = []

    def noting(who: str) -> Callable[[str, Any], None]:
        return lambda workflow_id, about: calls.append((who, workflow_id, about))

    first, second = (Hooks(**{name: noting(who)}) for who in ("first", "second"))  # type: ignore[arg-type]
    about = Signal("go") if name == "on_signal" else "about"
    compose_hooks(first, Hooks(), second).call(name, "wf-1", about)
    assert calls == [("first", "wf-1", about), ("second", "wf-1", about)]


def test_composing_nothing_gives_hooks_that_do_nothing() -> None:
    hooks = compose_hooks()
    for name in HOOK_NAMES:
        hook = getattr(hooks, name)
        assert hook("wf-1", None) is None
    Hooks().call("on_workflow_start", "wf-1", None)
    assert hooks.failures.count == 0


def test_hook_that_raises_is_logged_and_counted_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def broken(workflow_id: str, about: object) -> None:
        raise RuntimeError("broken hook")

    alone = Hooks(on_workflow_start=broken)
    composed = compose_hooks(alone, Hooks(on_workflow_start=lambda *about: calls.append(about)))
    with caplog.at_level(logging.ERROR, "weft.executor"):
        composed.call("on_workflow_start", "wf-1", 1)
        alone.call("on_workflow_start", "wf-2", 1)
    assert calls == [("wf-1", 1)]
    assert (composed.failures.count, alone.failures.count) == (1, 1)
    assert "hook on_workflow_start raised for workflow wf-1" in caplog.text
    assert "broken hook" in caplog.text
