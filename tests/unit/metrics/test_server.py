"""The pages that monitoring reads."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from weft.errors import UsageError
from weft.metrics import WorkerMetrics
from weft.metrics._server import MetricsServer, serve


class Worker:
    healthy = True
    ready = True


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def server(worker: Worker) -> Iterator[MetricsServer]:
    metrics = WorkerMetrics()
    metrics.turns.inc(3)
    server = serve(metrics, 0, healthy=lambda: worker.healthy, ready=lambda: worker.ready)
    yield server
    server.close()


def get(server: MetricsServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_are_served(server: MetricsServer) -> None:
    status, text = get(server, "/metrics")
    assert status == 200
    assert "weft_turns_total 3.0" in text


def test_health_and_readiness_say_how_the_worker_is(server: MetricsServer, worker: Worker) -> None:
    assert get(server, "/healthz") == (200, '{"healthy": true}\n')
    assert get(server, "/readyz") == (200, '{"ready": true}\n')
    worker.ready = False
    assert get(server, "/healthz")[0] == 200
    status, text = get(server, "/readyz")
    assert (status, json.loads(text)["ready"]) == (503, False)
    assert "rebuilds" in json.loads(text)["why"]
    worker.healthy = False
    status, text = get(server, "/healthz")
    assert (status, json.loads(text)["healthy"]) == (503, False)
    assert "restart it" in json.loads(text)["why"]


def test_other_pages_are_not_found(server: MetricsServer) -> None:
    status, text = get(server, "/")
    assert status == 404
    assert json.loads(text)["pages"] == ["/healthz", "/metrics", "/readyz"]


def test_port_that_is_taken_is_a_clear_error(server: MetricsServer) -> None:
    with pytest.raises(UsageError, match=f"cannot be served on 127.0.0.1:{server.port}"):
        serve(WorkerMetrics(), server.port, healthy=lambda: True, ready=lambda: True)


def test_server_listens_on_ipv6_too(worker: Worker) -> None:
    server = serve(WorkerMetrics(), 0, healthy=lambda: True, ready=lambda: True, host="::1")
    try:
        with urllib.request.urlopen(f"http://[::1]:{server.port}/readyz", timeout=5) as answer:
            assert answer.status == 200
    finally:
        server.close()
