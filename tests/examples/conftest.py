"""The model server's stand-in, for the examples that ask a model."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from examples.model.server import model_server


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    """Where it serves, on a port of its own."""
    with model_server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def model(model_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The examples ask it."""
    monkeypatch.setenv("MODEL_URL", model_url)
    return model_url
