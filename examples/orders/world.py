"""The outside world, pretended: the card company, the carrier, the warehouse.

What it does to an order depends on the order's ID alone (and, where an attempt fails, on the attempt), so that
everybody can work out beforehand how an order must end. What was done is written to a file that stands for the outside
world's own books: one line an execution, kept over any kill -9 of the worker.

Like any service worth calling it takes an idempotency key: of several executions with one key, only the first counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from weft import activity

BOOKS = "ORDERS_LOG"
"""The environment variable that names the file; without it nothing is written down."""

_DECLINED_PERCENT = 4
_DOWN_ONCE_PERCENT = 12
_DOWN_TWICE_PERCENT = 3
_REFUSED_PERCENT = 3
_PAUSE_MS_MIN, _PAUSE_MS_MAX = 2, 8


def lot(order_id: str, what: str) -> int:
    """A number from 0 to 99 that fate has drawn for this order in this matter; always the same one."""
    return int.from_bytes(hashlib.sha256(f"{what} {order_id}".encode()).digest()[:8]) % 100


def card_is_declined(order_id: str) -> bool:
    return lot(order_id, "declined") < _DECLINED_PERCENT


def card_terminal_failures(order_id: str) -> int:
    """How many attempts to charge fail before one gets through."""
    number = lot(order_id, "terminal")
    if number < _DOWN_TWICE_PERCENT:
        return 2
    return 1 if number < _DOWN_TWICE_PERCENT + _DOWN_ONCE_PERCENT else 0


def address_is_refused(order_id: str) -> bool:
    return lot(order_id, "address") < _REFUSED_PERCENT


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of an activity. `error` is the type of what it failed with, empty when it took effect."""

    order_id: str
    activity: str
    key: str
    """The idempotency key: the same for all attempts of one step."""
    attempt: int
    error: str
    pid: int
    time_ms: int


async def act(order_id: str, error: Exception | None = None) -> None:
    """Take a few milliseconds, write down what happens, and fail with `error` if that is what happens."""
    info = activity.info()
    span_ms = _PAUSE_MS_MAX - _PAUSE_MS_MIN + 1
    await asyncio.sleep((_PAUSE_MS_MIN + lot(order_id, info.activity) % span_ms) / 1000)
    _write_down(
        Execution(
            order_id=order_id,
            activity=info.activity,
            key=info.idempotency_key,
            attempt=info.attempt,
            error=type(error).__name__ if error else "",
            pid=os.getpid(),
            time_ms=int(time.time() * 1000),
        )
    )
    if error is not None:
        raise error


def read_books(path: Path) -> list[Execution]:
    """Every execution, in the order in which they were written down."""
    return [Execution(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _write_down(execution: Execution) -> None:
    path = os.environ.get(BOOKS)
    if not path:
        return
    line = json.dumps(asdict(execution)) + "\n"
    # One write in append mode: whole lines, also from several processes, and the kernel has it when this one is killed.
    books = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(books, line.encode())
    finally:
        os.close(books)
