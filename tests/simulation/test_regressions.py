"""Bugs that the simulator found, by name: the seeds that showed them hold, and fail again with the bug put back.

A seed is a run of today's code. When a change elsewhere moves a bug out of its seeds' way, the second half of the test
says so: then look for others that show it.
"""

from __future__ import annotations

import pytest

from tests.simulation.kit import scenario, simulate

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(400)]

RUNS = 150
_AWAY = "leader_away,killed_after_commit,queue_full,slow_broker,delivery_unknown,kill"
_LATE = "marker_late,slow_broker,fetch_late,group_marker_late"
SHOWS_WITH = {
    "run_not_shown_yet_is_gone": (f"--armed={_LATE}", "--workloads=purges,chains"),
    "run_behind_an_undecided_one_is_gone": (f"--armed={_LATE}", "--workloads=chains"),
    "repeated_signal_is_refused": (f"--armed={_AWAY}", "--workloads=cancellations,bursts"),
    "spare_worker_is_never_ready": ("--armed=",),
}


@pytest.mark.parametrize("bug", sorted(SHOWS_WITH))
def test_bug_stays_away_and_would_be_found_again(bug: str) -> None:
    command = (*SHOWS_WITH[bug], "--seed=1", f"--runs={RUNS}", "--failures-max=1")
    status, _, output = simulate(*command)
    assert status == 0, output
    status, summary, _ = simulate(*command, "--mutant", bug)
    assert status == 1, f"{bug} was not found again within {summary['runs']} runs"


@pytest.mark.parametrize(
    ("mutant", "told"), [("", "[7]"), ("zombie_knows_of_nothing", "UnknownWorkflowError")]
)
def test_replaced_owner_does_not_say_that_there_is_no_such_workflow(mutant: str, told: str) -> None:
    """Found by ten minutes of `make torture`: chance makes it too seldom."""
    assert scenario(mutant) == told
