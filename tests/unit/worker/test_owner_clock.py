"""The owner's clock: when it is the owner that stands still, nobody else was silent, and nobody is served."""

from __future__ import annotations

from typing import cast

import pytest

from tests.unit.worker.owner_kit import NoLog, owner_on
from weft.host import Host
from weft.log import LogRecord
from weft.worker._owner import PartitionOwner
from weft.worker._serving import RECORDS_MAX


class Machine(Host):
    """A monotonic clock by hand."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def owner() -> PartitionOwner:
    return owner_on(NoLog(), Machine())


def passed(owner: PartitionOwner, seconds: float, record_count: int = 0) -> float:
    """What the leases lose in a round of the loop that took so long."""
    cast("Machine", owner._host).now_s += seconds
    return round(owner._serving._lease_time(record_count), 6)


def test_time_passes_for_leases_while_the_owner_goes_round(owner: PartitionOwner) -> None:
    assert [passed(owner, 0.1, records) for records in (0, 5, 900)] == [0.1, 0.1, 0.1]


def test_owner_that_stood_still_takes_little_from_leases(owner: PartitionOwner) -> None:
    assert passed(owner, 3600) == 0.5
    assert passed(owner, 0.1) == 0.1


def test_no_time_passes_for_leases_while_there_is_more_to_read(owner: PartitionOwner) -> None:
    assert passed(owner, 0.3, RECORDS_MAX) == 0
    owner._serving._held.append(LogRecord("shop.results", 0, 0, b"order-1", b"{}"))
    assert passed(owner, 0.3) == 0
    owner._serving._held.clear()
    assert passed(owner, 0.1) == 0.1, "what was not counted is not made up for"


def test_owner_that_stands_still_for_longer_than_a_session_is_not_ready(
    owner: PartitionOwner,
) -> None:
    machine = cast("Machine", owner._host)
    owner._joined_s = machine.now_s - 60.0
    assert (owner.ready, owner.unserved_s()) == (True, 0.0)
    machine.now_s += 5.0
    assert (owner.ready, owner.unserved_s()) == (True, 0.0), "a slow turn, or a slow commit"
    machine.now_s += 2.0
    assert (owner.ready, owner.unserved_s()) == (False, 7.0)
