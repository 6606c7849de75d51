"""What monitoring asks of a worker: `/metrics`, `/healthz` and `/readyz` over HTTP.

Health and readiness differ: an unhealthy worker should be restarted, one that is not ready should be waited for.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from weft.errors import UsageError
from weft.metrics._metrics import WorkerMetrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_POLL_S = 0.1
"""How long closing may take."""
_JSON = (("Content-Type", "application/json"),)


class MetricsServer:
    """The running server. `port` is where it listens, also when it was asked for any."""

    def __init__(self, server: ThreadingWSGIServer) -> None:
        self._server = server
        self.port: int = server.server_port
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_POLL_S,), name="weft-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(
    metrics: WorkerMetrics,
    port: int,
    *,
    healthy: Callable[[], bool],
    ready: Callable[[], bool],
    host: str = "127.0.0.1",
) -> MetricsServer:
    """Answer on `host`:`port` (0: any free one) in a daemon thread. Raises UsageError when that cannot be had."""
    app = _app(metrics, healthy, ready)
    try:
        server = make_server(host, port, app, _server_class(host), handler_class=_QuietHandler)
    except OSError as error:
        raise UsageError(
            f"Metrics cannot be served on {host}:{port}: {error.strerror or error}. Give another --metrics-port, 0 "
            "for any that is free."
        ) from error
    return MetricsServer(server)


def _app(
    metrics: WorkerMetrics, healthy: Callable[[], bool], ready: Callable[[], bool]
) -> WSGIApplication:
    pages: dict[str, Any] = {
        "/metrics": make_wsgi_app(metrics.registry),
        "/healthz": _state("healthy", healthy, "a loop of this worker ended or hangs; restart it"),
        "/readyz": _state(
            "ready", ready, "it has no partitions yet, rebuilds some, or cannot reach its log"
        ),
    }

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        page = pages.get(environ["PATH_INFO"])
        if page is None:
            start_response("404 Not Found", list(_JSON))
            return [_body({"error": "not found", "pages": sorted(pages)})]
        answer: Iterable[bytes] = page(environ, start_response)
        return answer

    return app


def _state(name: str, check: Callable[[], bool], why: str) -> WSGIApplication:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if check():
            start_response("200 OK", list(_JSON))
            return [_body({name: True})]
        start_response("503 Service Unavailable", list(_JSON))
        return [_body({name: False, "why": why})]

    return app


def _body(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _server_class(host: str) -> type[ThreadingWSGIServer]:
    """One for the host's address family: the base class takes IPv4 alone."""
    if ":" not in host:
        return ThreadingWSGIServer
    return type("IPv6Server", (ThreadingWSGIServer,), {"address_family": socket.AF_INET6})


class _QuietHandler(WSGIRequestHandler):
    """Requests come every few seconds from monitoring: they are no news."""

    def log_message(self, format: str, *args: object) -> None:
        pass
