"""The host that everything runs on, unless it is told another."""

from __future__ import annotations

import asyncio
import os
import queue
import random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

_tokens = random.Random(secrets.token_bytes(32))  # noqa: S311  # unique, and not secret: a system call each is too slow
os.register_at_fork(after_in_child=lambda: _tokens.seed(secrets.token_bytes(32)))


class Event(Protocol):
    """As `threading.Event`."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Thread(Protocol):
    """As `threading.Thread`."""

    def start(self) -> None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool: ...


class JobQueue(Protocol):
    """As `queue.SimpleQueue`: `get` raises `queue.Empty` when nothing came within the timeout."""

    def put(self, item: Any) -> None: ...

    def get(self, block: bool = True, timeout: float | None = None) -> Any: ...  # noqa: FBT001, FBT002  # as it is


class Host:
    """This machine. Locks are not part of it: nobody waits, sleeps or calls the log while holding one."""

    def time(self) -> float:
        """Seconds since the epoch, as this machine believes."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment; never jumps."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def event(self) -> Event:
        return threading.Event()

    def thread(self, target: Callable[..., object], name: str, *args: object) -> Thread:
        """A daemon thread, not started yet."""
        return threading.Thread(target=target, name=name, args=args, daemon=True)

    def job_queue(self) -> JobQueue:
        return queue.SimpleQueue()

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """A new one, for a thread that runs it."""
        return asyncio.new_event_loop()

    def random(self) -> float:
        """Uniform in [0, 1)."""
        return random.random()  # noqa: S311  # spreads retries, keeps no secret

    def token(self) -> str:
        """16 hexadecimal digits that nobody else has."""
        return f"{_tokens.getrandbits(64):016x}"


HOST = Host()
"""The real one, shared by all."""
