"""What runs: `Worker` owns partitions of workflows and serves task queues.

`Partition` and `AttemptRunner` are its two halves without a log: `weft.testing` runs them on a host of its own.
"""

from weft.worker._activity_leases import LEASE_S, LEASE_S_MIN
from weft.worker._activity_pulse import AttemptPulse
from weft.worker._attempt import AttemptRunner
from weft.worker._batch import Batch
from weft.worker._cells import HOT_MAX
from weft.worker._directory import Directory
from weft.worker._partition import Partition
from weft.worker._worker import Worker

__all__ = [
    "HOT_MAX",
    "LEASE_S",
    "LEASE_S_MIN",
    "AttemptPulse",
    "AttemptRunner",
    "Batch",
    "Directory",
    "Partition",
    "Worker",
]
