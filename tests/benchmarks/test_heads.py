from __future__ import annotations

import pytest
from benchmarks.heads import UPDATES, Heads, run_id_of, workflow_id_of
from benchmarks.workloads import SIGNAL, patient

from weft.codec import decode_state
from weft.core import CompleteWorkflow
from weft.records import Head, SignalReceived, WorkflowStarted
from weft.worker._cell import Cell
from weft.workflow import Machine

HEADS = Heads()


def decoded(number: int, update: int = UPDATES) -> Head:
    head = decode_state(HEADS.head(number, update))
    assert isinstance(head, Head)
    return head


@pytest.mark.parametrize("number", [0, 1, 777_777])
def test_head_is_what_its_owner_would_write(number: int) -> None:
    head = decoded(number)
    cell = Cell(workflow_id_of(number), HEADS.head(number))
    assert cell.warm().run_id == head.run_id == run_id_of(number)
    assert cell.encode_head() == HEADS.head(number)
    assert head.status == "running"


def test_each_update_is_one_event_more_and_the_last_has_two_kilobytes() -> None:
    counts = [decoded(5, update).event_count for update in range(UPDATES + 1)]
    assert counts == list(range(3, 3 + UPDATES + 1))
    assert 1_900 < len(HEADS.head(5)) < 2_100


def test_code_goes_on_from_the_head_when_it_is_replayed() -> None:
    cell = Cell(workflow_id_of(3), HEADS.head(3))
    (first, *_) = events = cell.history()
    assert isinstance(first, WorkflowStarted)
    machine = Machine(patient, cell.workflow_id)
    machine.replay(events)
    (command,) = machine.activate(SignalReceived(99, 1_800_000_000_000, SIGNAL))
    assert isinstance(command, CompleteWorkflow)
    assert command.result == first.input
    machine.close()
