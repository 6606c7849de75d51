"""A worker dies between steps B and C: what is stored, and what the next one does."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples.crash.demo import demonstrate
from examples.crash.workflow import FOLDER, three_steps

from weft.testing import crash_everywhere


@pytest.mark.requirement("R2-2", "R2-5", "R2-6", "R2-7", "R2-8", "R2-41", "R2-42")
def test_stored_history_is_shown_and_gone_on_with_when_a_worker_is_killed_between_b_and_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = demonstrate(tmp_path)
    told = capsys.readouterr().out
    before, after = told.split("Another worker replays it")
    stored = [line.split() for line in before.splitlines() if line[:1].isdigit()]
    # That C is under way is noted once it has been for a second.
    told_events = [" ".join(line[3:]) for line in stored if line[3] != "ActivityStarted"]
    assert told_events == [
        "WorkflowStarted three_steps(null)",
        'ActivityScheduled step("A"), number 1',
        'ActivityCompleted step -> "A done"',
        'ActivityScheduled step("B"), number 2',
        'ActivityCompleted step -> "B done"',
        'ActivityScheduled step("C"), number 3',
    ]
    later = [line.split() for line in after.splitlines() if line[:1].isdigit()]
    assert later[: len(stored)] == stored, "nothing of it is changed by the replay"
    assert later[-1][3:] == ["WorkflowCompleted", "->", '["A', 'done","B', 'done","C', 'done"]']
    assert 'result: ["A done", "B done", "C done"]' in after
    assert ran == {"A": 1, "B": 1, "C": 2}


def test_steps_end_the_same_when_their_worker_crashes_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert crash_everywhere(three_steps) == ["A done", "B done", "C done"]
