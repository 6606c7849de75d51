"""Resets of runs with children and with signals to others: who is told what, and what stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.worker.families import FAMILY
from tests.unit.worker.family_kit import Family
from tests.unit.worker.kit import accepted_reply
from tests.unit.worker.test_children import MODES, result, say
from weft import workflow
from weft.codec import decode_payload
from weft.errors import ChildWorkflowError
from weft.records import ResetWorkflow
from weft.workflow import Context

pytestmark = pytest.mark.requirement("R3-15")


@workflow.define
async def two_children(ctx: Context, ids: list[str]) -> Any:
    """One child, a signal to another workflow, and another child, with this code's own IDs or these."""
    first = await ctx.execute_child(workflow.child("packing"), "a")
    await ctx.signal("inbox", "go", first)
    second = workflow.child("packing", id="".join(ids))
    try:
        return [first, await ctx.execute_child(second, "b")]
    except ChildWorkflowError as error:
        return [first, error.status]


@pytest.fixture(params=MODES)
def family(request: pytest.FixtureRequest) -> Iterator[Family]:
    family = Family(*FAMILY, two_children, **MODES[request.param])
    yield family
    family.close()


def reset(family: Family, to_event: int, key: str = "order-1") -> tuple[str, str]:
    """What was answered, and why it was refused."""
    owner = family.of(key)
    request = ResetWorkflow(
        owner.head(key).run_id, to_event, f"to-{to_event}", "", accepted_reply()
    )
    owner.turn(owner.signals(request, key))
    family.deliver()
    return owner.replies[-1].outcome, owner.replies[-1].reason


def begin(family: Family, ids: list[str]) -> str:
    """Up to where the second child is open: 1 start, 2-4 first child, 5-6 signal, 7-8 second child."""
    family.start("patient", key="inbox")
    family.start("two_children", ids, key="order-1")
    first_id = family.child_of("order-1")
    family.complete(first_id, "packed")
    assert family.of("order-1").story("order-1")[3:] == [
        "ChildCompleted",
        "SignalSent",
        "SignalDelivered",
        "ChildScheduled",
        "ChildStarted",
    ]
    return next(one for one in family.workflow_ids() if one not in {"inbox", "order-1", first_id})


def test_child_that_was_started_later_ends_and_its_successor_runs(family: Family) -> None:
    second_id = begin(family, [])
    assert reset(family, 5) == ("accepted", "")
    assert family.status(second_id) == "terminated"
    assert family.of("order-1").story("order-1")[5:] == [
        "WorkflowReset",
        "SignalDelivered",
        "ChildScheduled",
        "ChildStarted",
    ], "the signal was sent once, and its outcome is told again"
    (third_id,) = [
        one
        for one in family.workflow_ids()
        if one.startswith("order-1/") and family.status(one) == "running"
    ]
    family.complete(third_id, "packed too")
    assert result(family, "order-1") == ["packed", "packed too"]
    assert result(family, "inbox") == "packed"


def test_child_is_started_again_under_the_same_id(family: Family) -> None:
    assert begin(family, ["second"]) == "second"
    former = family.of("second").head("second").run_id
    assert reset(family, 6) == ("accepted", "")
    assert family.of("second").head("second").run_id != former
    family.complete("second", "packed too")
    assert result(family, "order-1") == ["packed", "packed too"]


def test_end_of_a_child_that_was_open_is_told_again_and_the_child_is_not_run_again(
    family: Family,
) -> None:
    begin(family, ["second"])
    outcome, reason = reset(family, 8)
    assert outcome == "refused"
    assert "child 'second', which was open there, reports to the run that started it" in reason
    family.complete("second", "packed too")
    count = len(family.workflow_ids())
    assert reset(family, 8) == ("accepted", "")
    assert result(family, "order-1") == ["packed", "packed too"]
    assert len(family.workflow_ids()) == count


def test_child_whose_run_is_reset_reports_to_its_parent(family: Family) -> None:
    family.start("parent", ["patient", None, {"id": "child"}], key="order-1")
    assert reset(family, 1, "child") == ("accepted", "")
    say(family, "child", "go", 7)
    last: Any = family.history("order-1")[-1]
    assert decode_payload(last.result) == 7
