"""The simulated log as a system needs it: whatever goes wrong, records are copied once, and a seed repeats its run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.copying import SOURCE, TARGET, Run
from tests.simulation.log import Cluster
from tests.simulation.log._group_offsets import GroupOffsets
from tests.simulation.log._groups import Group
from tests.simulation.log._partition import Partition
from weft.log import LogRecord

EVERYTHING = Cluster.menu()
SEEDS = range(24)


def played(seed: int, armed: frozenset[str] | None) -> Run:
    run = Run(seed, armed=armed)
    run.play()
    return run


@pytest.mark.parametrize("seed", SEEDS)
def test_each_record_is_copied_once_when_some_faults_are_armed(seed: int) -> None:
    run = played(seed, None)
    assert run.there(TARGET) == run.there(SOURCE), run.copiers


def test_every_fault_of_the_copying_happens_in_some_run() -> None:
    fired: set[str] = set()
    for seed in SEEDS:
        run = played(1000 + seed, EVERYTHING)
        assert run.there(TARGET) == run.there(SOURCE)
        fired.update(run.faults.fired)
    not_asked_for = {
        "abort_lost",
        "abort_answer_lost",
        "admin_fails",
        "duplicate",
        "offset_commit_fails",
    }
    assert fired == Cluster.menu() - not_asked_for


def test_run_is_the_same_when_its_seed_is() -> None:
    def trace() -> list[object]:
        run = played(7, EVERYTHING)
        inspect = run.cluster.inspect
        entries = [
            repr(entry) for place in inspect.places() for entry in inspect.everything(*place)
        ]
        return [run.scheduler.now, run.scheduler.switch_count, run.faults.fired, entries]

    assert trace() == trace()


def unchecked_proof(
    _group: Group, _member_id: str, _instance_id: str | None, _generation: int
) -> None:
    """A coordinator that takes offsets from anybody."""


def impatient_read(
    partition: Partition, offset: int, records_max: int, *, committed: bool
) -> tuple[list[LogRecord], int]:
    """A leader that shows aborted records."""
    return _READ(partition, offset, records_max, committed=False)


def forgetful_settle(offsets: GroupOffsets, producer_id: int, *, committed: bool) -> None:
    """A group that commits offsets also of a transaction that was aborted."""
    _SETTLE(offsets, producer_id, committed=True)


_READ = Partition.read
_SETTLE = GroupOffsets.settle


@pytest.mark.parametrize(
    "owner,name,broken",
    [
        (Group, "check_proof", unchecked_proof),
        (Partition, "read", impatient_read),
        (GroupOffsets, "settle", forgetful_settle),
    ],
)
def test_copying_goes_wrong_when_the_log_breaks_a_promise(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, broken: Callable[..., object]
) -> None:
    """So the runs above can fail."""
    monkeypatch.setattr(owner, name, broken)

    def is_right(seed: int) -> bool:
        run = played(seed, EVERYTHING)
        return run.there(TARGET) == run.there(SOURCE)

    assert not all(is_right(seed) for seed in range(2000, 2060))
