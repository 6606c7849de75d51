"""Which workflows of a partition are kept ready, and that the others come back as they were."""

from __future__ import annotations

import pytest

from tests.unit.worker.kit import Served
from tests.unit.worker.workflows import approval, fulfil, inline_steps
from weft.records import WorkflowCompleted
from weft.worker._cells import Cells

IDS = [f"order-{number}" for number in range(5)]


def hot(served: Served) -> list[str]:
    return [cell.workflow_id for cell in served.partition.cells.hot()]


def test_workflows_that_nothing_happened_to_for_longest_become_cold() -> None:
    served = Served(approval, hot_max=2)
    for workflow_id in IDS:
        served.start("approval", key=workflow_id)
    assert hot(served) == IDS[3:]
    assert set(served.partition.cells) == set(IDS)
    served.partition.cells[IDS[0]].warm()
    served.start("approval", key="order-9")
    assert hot(served) == [IDS[0], "order-9"]
    served.close()


def test_cold_workflow_goes_on_where_it_was_when_something_happens_to_it() -> None:
    served = Served(fulfil, hot_max=0)
    served.start("fulfil", 700)
    assert hot(served) == []
    while served.head().status == "running":
        for task in served.tasks():
            served.complete(task, 7)
    assert served.head().status == "completed"
    served.close()


def test_run_with_an_inline_activity_under_way_stays_hot() -> None:
    """A cold one's is taken for lost, and run again."""
    served = Served(inline_steps, hot_max=0)
    served.start("inline_steps")
    assert len(hot(served)) == 1
    (task,) = served.inline
    served.inline.clear()
    served.turn_inline("order-42", served.completed(task, 7))
    assert len(served.inline) == 1, "only the next step"
    served.close()


def test_ended_run_is_cold_at_once() -> None:
    served = Served(approval)
    served.start("approval")
    assert hot(served) == ["order-42"]
    served.signal("approval", {"by": "Ann"})
    assert served.head().status == "completed"
    assert hot(served) == []
    assert isinstance(served.partition.cells["order-42"].last_event(), WorkflowCompleted)
    served.close()


def test_clock_of_a_cold_workflow_goes_on() -> None:
    served = Served(approval, hot_max=0)
    served.start("approval", timeout_ms=5000)
    assert served.partition.next_due_ms() > 0
    assert hot(served) == [], "to look at the clock makes nothing hot"
    served.advance(6000)
    assert served.head().status == "timed_out"
    served.close()


def test_cells_are_a_mapping() -> None:
    cells = Cells()
    assert cells == {}
    with pytest.raises(KeyError):
        cells["none"]
    with pytest.raises(KeyError):
        del cells["none"]
    assert cells.get("none") is None
    assert cells.due_ms("none") == 0
