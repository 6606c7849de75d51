"""Prometheus metrics of the workers."""

from weft.metrics._metrics import WorkerMetrics
from weft.metrics._server import MetricsServer, serve

__all__ = ["MetricsServer", "WorkerMetrics", "serve"]
