"""Between the log's threads and the event loop.

The log is synchronous, so two threads wait for it: one serves the producer's delivery callbacks, one reads the replies.
What they find is handed to the loop in batches: one wake-up for everything that came meanwhile, so that a thousand
replies cost about as much as one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from weft.codec import MalformedError, decode_reply
from weft.errors import LogError, LogUnavailableError, UsageError, WeftError
from weft.host import HOST, Host, Thread
from weft.log import FROM_END, DeliveryCallback, Headers, Log, LogRecord
from weft.records import Reply

logger = logging.getLogger("weft.client")

RECORDS_MAX = 1000
"""Replies that are handed over at once."""
POLL_S = 0.1
"""How long a thread waits before it looks whether it should end."""
_RETRY_S = 0.5

Call = tuple[Callable[[Any], object], Any]
"""A function and its one argument, to be called on the loop."""


class Waiting(Protocol):
    """Something that waits for replies."""

    partition: int

    def take(self, reply: Reply) -> None: ...

    def fail(self, error: WeftError) -> None: ...


class Bridge:
    """Sends records and hands replies to the requests that wait for them. Methods are for the loop's thread."""

    def __init__(
        self, log: Log, replies_topic: str, *, client_id: str, partition: int, host: Host = HOST
    ) -> None:
        """Blocks: asks the log where the replies end, so that none is missed that is asked for from now on."""
        self.requests: dict[str, Waiting] = {}
        """Waiting requests by their request ID."""
        self.heard_at: dict[int, float] = {}
        """When the owner of a partition last answered, in the loop's time."""
        self._host = host
        self._key = client_id.encode()
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._is_scheduled = False
        self._is_closing = False
        self._failing: set[str] = set()
        """Topics whose last record could not be written: their log may block before it takes the next one."""
        self._stopping = host.event()
        self._broken: WeftError | None = None
        self._threads: list[Thread] = []
        self._reader = log.reader()
        try:
            self._reader.assign({(replies_topic, partition): FROM_END})
            self._producer = log.producer()
        except BaseException:
            self._reader.close()
            raise

    def start(self) -> None:
        """Start the threads, for the running event loop."""
        self.loop = asyncio.get_running_loop()
        for name, serve in (
            ("weft-client-deliveries", self._serve_deliveries),
            ("weft-client-replies", self._read_replies),
        ):
            thread = self._host.thread(self._keep, name, serve)
            self._threads.append(thread)
            thread.start()

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        on_delivery: DeliveryCallback,
        headers: Headers = (),
    ) -> None:
        """Queue one record. `on_delivery` is called in another thread.

        Raises LogUnavailableError when the log cannot take it at the moment (try again), and what broke the connection
        for good.
        """
        if self._broken is not None:
            raise self._broken
        if self._is_closing:
            raise _closed()
        if topic in self._failing:
            args = (topic, partition, key, value, on_delivery, headers)
            self.loop.run_in_executor(None, self._try_again, *args)
            return
        try:
            self._producer.produce(topic, partition, key, value, headers, on_delivery)
        except LogUnavailableError:
            self.note_failure(topic)
            raise

    def note_failure(self, topic: str) -> None:
        """A record for this topic could not be written. For any thread."""
        self._failing.add(topic)

    async def write(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> tuple[int, int]:
        """Write one record and return its (partition, offset) once it is durable. Raises LogError when it is not."""
        written: asyncio.Future[tuple[int, int]] = self.loop.create_future()

        def settle(delivery: tuple[LogError | None, int, int]) -> None:
            error, at_partition, offset = delivery
            if written.done():
                return
            if error is not None:
                written.set_exception(error)
            else:
                written.set_result((at_partition, offset))

        self.send(
            topic, partition, key, value, lambda *delivery: self.post(settle, delivery), headers
        )
        return await written

    def post(self, function: Callable[[Any], object], argument: object) -> None:
        """Call `function(argument)` on the loop. For the threads."""
        self._hand_over(((function, argument),))

    def close(self) -> None:
        """End the threads and let go of the log. Blocks for a bounded time, so it is called in another thread."""
        self._is_closing = True
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        try:
            self._producer.close()
        finally:
            self._reader.close()

    def fail_all(self, error: WeftError | None = None) -> None:
        """Tell everybody who still waits that no answer will come."""
        for request in list(self.requests.values()):
            request.fail(error or _closed())

    # In the threads.

    def _try_again(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        on_delivery: DeliveryCallback,
        headers: Headers,
    ) -> None:
        try:
            self._producer.produce(topic, partition, key, value, headers, on_delivery)
        except LogError as error:
            on_delivery(error, partition, -1)
        except WeftError as error:
            on_delivery(LogError(str(error)), partition, -1)
        else:
            self._failing.discard(topic)

    def _keep(self, serve: Callable[[], None]) -> None:
        """Go on until the client closes, over whatever may pass; what cannot pass is told to everybody who waits."""
        while not self._stopping.is_set():
            try:
                serve()
            except LogError as error:
                if not error.retriable:
                    self.post(self._break, error)
                    return
                logger.warning("the client cannot reach its log at the moment: %s", error)
                self._stopping.wait(_RETRY_S)
            except Exception as error:
                logger.exception("the client's connection to its log broke")
                self.post(self._break, LogError(f"The connection to the log broke: {error!r}"))
                return

    def _serve_deliveries(self) -> None:
        self._producer.poll(POLL_S)

    def _read_replies(self) -> None:
        records = self._reader.poll(RECORDS_MAX, POLL_S)
        calls = [
            (self._on_reply, reply)
            for record in records
            if record.key == self._key and (reply := _decode(record)) is not None
        ]
        if calls:
            self._hand_over(calls)

    def _hand_over(self, calls: Iterable[Call]) -> None:
        with self._lock:
            self._calls.extend(calls)
            if self._is_scheduled:
                return
            self._is_scheduled = True
        try:
            self.loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            # The loop was closed before the client was: nobody waits any more.
            self._stopping.set()

    # On the loop again.

    def _drain(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
            self._is_scheduled = False
        for function, argument in calls:
            function(argument)

    def _on_reply(self, reply: Reply) -> None:
        request = self.requests.get(reply.request)
        if request is not None:
            self.heard_at[request.partition] = self.loop.time()
            request.take(reply)

    def _break(self, error: WeftError) -> None:
        self._broken = error
        self.fail_all(error)


def _decode(record: LogRecord) -> Reply | None:
    try:
        return decode_reply(record.value)
    except MalformedError as error:
        place = f"{record.topic}-{record.partition}@{record.offset}"
        logger.warning("passed over the reply at %s, which is malformed: %s", place, error)
        return None


def _closed() -> UsageError:
    return UsageError("The client is closed: use it inside of its `async with` block.")
