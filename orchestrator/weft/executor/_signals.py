"""A channel of signals between parts of one program, by workflow and name. Executors have their own ways."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from weft.executor._errors import ExecutorError
from weft.executor._types import ZERO_TIME, Signal


class SignalChannel(Protocol):
    """Sends signals to workflows, and receives them there."""

    async def send(self, workflow_id: str, signal: Signal) -> None:
        """Raises ExecutorError (`invalid_input`) for an empty ID or name."""

    async def receive(self, workflow_id: str, signal_name: str) -> Signal:
        """The next one of that name, first in, first out; waits for it. Raises like `send`."""


_Waiter = tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]


class InMemorySignalChannel:
    """Within this process, in order, without a bound. May be used from several event loops and threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signals: dict[tuple[str, str], deque[Signal]] = {}
        self._waiters: dict[tuple[str, str], deque[_Waiter]] = {}

    async def send(self, workflow_id: str, signal: Signal) -> None:
        if not workflow_id:
            raise _invalid("workflowID cannot be empty")
        if not signal.name:
            raise _invalid("signal name cannot be empty")
        if signal.sent_at == ZERO_TIME:
            signal = msgspec.structs.replace(signal, sent_at=datetime.now(UTC))
        key = (workflow_id, signal.name)
        with self._lock:
            self._signals.setdefault(key, deque()).append(signal)
        self._wake_one(key)

    async def receive(self, workflow_id: str, signal_name: str) -> Signal:
        if not workflow_id:
            raise _invalid("workflowID cannot be empty")
        if not signal_name:
            raise _invalid("signalName cannot be empty")
        key = (workflow_id, signal_name)
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if self._signals.get(key):
                    return self._take(key)
                waiter = (loop, loop.create_future())
                self._waiters.setdefault(key, deque()).append(waiter)
            try:
                await waiter[1]
            except asyncio.CancelledError:
                self._give_up(key, waiter)
                raise

    def _take(self, key: tuple[str, str]) -> Signal:
        signals = self._signals[key]
        signal = signals.popleft()
        if not signals:
            del self._signals[key]
        return signal

    def _give_up(self, key: tuple[str, str], waiter: _Waiter) -> None:
        """Whoever was woken and does not take what woke him wakes another one."""
        with self._lock:
            waiting = self._waiters.get(key)
            if waiting is not None and waiter in waiting:
                waiting.remove(waiter)
                if not waiting:
                    del self._waiters[key]
                return
        self._wake_one(key)

    def _wake_one(self, key: tuple[str, str]) -> None:
        with self._lock:
            waiting = self._waiters.get(key)
            if not waiting:
                return
            loop, future = waiting.popleft()
            if not waiting:
                del self._waiters[key]
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _invalid(what: str) -> ExecutorError:
    return ExecutorError("invalid_input", f"workflow signal: {what}")
