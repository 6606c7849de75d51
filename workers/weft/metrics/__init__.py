"""Prometheus metrics of the workers."""

from weft.metrics._metrics import WorkerMetrics

__all__ = ["WorkerMetrics"]
