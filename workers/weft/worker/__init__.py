"""What runs: `Worker` owns partitions of workflows and serves task queues."""

from weft.worker._worker import Worker

__all__ = ["Worker"]
