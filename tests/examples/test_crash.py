"""A worker dies between steps B and C: what is stored, and what the next one does."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples.crash.demo import demonstrate
from examples.crash.workflow import three_steps

from weft.testing import crash_everywhere


@pytest.mark.requirement("R2-2", "R2-5", "R2-6", "R2-7", "R2-8", "R2-41", "R2-42")
def test_stored_history_is_shown_and_gone_on_with_when_a_worker_is_killed_between_b_and_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = demonstrate(tmp_path)
    told = capsys.readouterr().out
    before, after = told.split("Another worker replays it")
    stored = [line.split()[:5:2] for line in before.splitlines() if line[:1].isdigit()]
    events = [" ".join(line.split()[3:]) for line in before.splitlines() if line[:1].isdigit()]
    assert events == [
        "WorkflowStarted three_steps(1.5)",
        'ActivityScheduled step("A",0.0), number 1',
        'ActivityCompleted step -> "A done"',
        'ActivityScheduled step("B",0.0), number 2',
        'ActivityCompleted step -> "B done"',
        'ActivityScheduled step("C",1.5), number 3',
    ]
    later = [line.split()[:5:2] for line in after.splitlines() if line[:1].isdigit()]
    assert later[: len(stored)] == stored, "nothing of it is changed by the replay"
    assert 'result: ["A done", "B done", "C done"]' in after
    assert ran == {"A": 1, "B": 1, "C": 2}


def test_steps_end_the_same_when_their_worker_crashes_anywhere() -> None:
    assert crash_everywhere(three_steps, 1.5) == ["A done", "B done", "C done"]
