"""What runs: `Worker` owns partitions of workflows and serves task queues."""

from weft.worker._activity_leases import LEASE_S, LEASE_S_MIN
from weft.worker._cells import HOT_MAX
from weft.worker._worker import Worker

__all__ = ["HOT_MAX", "LEASE_S", "LEASE_S_MIN", "Worker"]
