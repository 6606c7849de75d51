"""Calls into librdkafka that may hang, with a time limit that holds.

`rd_kafka_send_offsets_to_transaction` keeps no time limit, and hangs for up to ten minutes after the group's
coordinator was restarted or replaced (librdkafka issues 5456 and 5511). A call cannot be taken back, so it runs in a
thread that can be left behind, together with the client that it hangs in.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_Call = tuple[Callable[..., object], tuple[object, ...]]


class WatchedCalls:
    """A thread that makes one call at a time. It ends with `close`, or with the process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.hangs = False

    def make(self, timeout_s: float, function: Callable[..., object], *arguments: object) -> None:
        """Raises what `function` raises, and `TimeoutError` when it has not come back; nothing may be called then."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._calls.put((function, arguments))
        try:
            error = self._results.get(timeout=timeout_s)
        except queue.Empty:
            self.hangs = True
            raise TimeoutError from None
        if error is not None:
            raise error

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, arguments = call
            try:
                function(*arguments)
            # The caller is told, whatever it is.
            except BaseException as error:  # noqa: BLE001
                self._results.put(error)
            else:
                self._results.put(None)
            del function, arguments, call

    def close(self) -> None:
        self._calls.put(None)
