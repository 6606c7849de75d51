"""The workflows of `payload_kit`, for a worker that dies with kill -9 right after it has stored a payload, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.integration.payload_kit import collecting, echo, fill, filled, stamp, stamped, swollen
from weft.payloads import PayloadStore
from weft.records import StoredPayload

__all__ = ["collecting", "echo", "fill", "filled", "stamp", "stamped", "swollen"]

_write = PayloadStore.write


def _write_and_die(store: PayloadStore, key: str, data: bytes) -> StoredPayload:
    stored = _write(store, key, data)
    mark = Path(os.environ["PAYLOADS_DIE"])
    if mark.exists():
        mark.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return stored


setattr(PayloadStore, "write", _write_and_die)  # noqa: B010  # mypy: it is no longer the same method
