"""Bugs that the simulator found, by name: the seeds that showed them hold, and fail again with the mend undone.

A seed is a run of today's code. When a change elsewhere moves a bug out of its seed's way, the second half of the test
says so: then look for another seed that shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from tests.simulation import workloads
from tests.simulation.simulate import simulate
from tests.simulation.world import World
from weft.client import Handle, _end_request, _handle
from weft.worker._owner import PartitionOwner

pytestmark = pytest.mark.simulation


@contextmanager
def nothing_is_fresh() -> Iterator[None]:
    with patch.object(_end_request, "FRESH_S", 0.0), patch.object(_handle, "FRESH_S", 0.0):
        yield


async def has_not_received(_handle: Handle[object], _signal_id: str) -> bool:
    return False


def is_ready_with_partitions_only(owner: PartitionOwner) -> bool:
    return bool(owner._assigned) and len(owner._serving) == len(owner._assigned)


LATE = frozenset({"marker_late", "slow_broker", "fetch_late", "group_marker_late"})
AWAY = frozenset(
    {"leader_away", "killed_after_commit", "queue_full", "slow_broker", "delivery_unknown", "kill"}
)


def some_seed_fails(armed: frozenset[str], some: tuple[workloads.Workload, ...]) -> bool:
    return any(simulate(seed, armed=armed, workloads=some).problems for seed in range(1, 60))


def test_confirmed_run_is_not_taken_for_gone_when_the_log_does_not_show_it_yet() -> None:
    some = (workloads.purges, workloads.chains)
    assert not some_seed_fails(LATE, some)
    with nothing_is_fresh():
        assert some_seed_fails(LATE, some)


def test_signal_is_not_refused_when_its_caller_sends_it_again_after_the_run_took_it_and_ended() -> (
    None
):
    some = (workloads.cancellations, workloads.bursts)
    assert not some_seed_fails(AWAY, some)
    with patch.object(Handle, "_has_received", has_not_received):
        assert some_seed_fails(AWAY, some)


def test_worker_is_ready_when_others_have_all_partitions() -> None:
    none = frozenset[str]()

    def come_to_rest() -> bool:
        return not any(simulate(seed, armed=none).problems for seed in range(1, 12))

    assert come_to_rest()
    with (
        patch.object(PartitionOwner, "ready", property(is_ready_with_partitions_only)),
        patch.object(World, "waiting", lambda _world: []),
    ):
        assert not come_to_rest()
