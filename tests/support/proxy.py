"""A TCP proxy in front of one broker, under the test's control: slow, cut, refusing and half-open connections.

It knows where Kafka's requests begin and what they are, and no more. So a fault can strike all traffic (`delay`, `cut`,
`refuse`, `swallow`), or exactly one request of a transaction (`at`), before the broker has it or after.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

HOST = "127.0.0.1"
_PATIENCE_S = 10.0
_LINGER_NOT = struct.pack("ii", 1, 0)


class Request(enum.IntEnum):
    """Kafka's numbers of the requests that a test may want to meet."""

    PRODUCE = 0
    FETCH = 1
    OFFSET_FETCH = 9
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Fault(enum.Enum):
    """What happens to the connection of a request."""

    DELAY = "the request is held up, and arrives late"
    CUT_BEFORE = "reset; the broker never has the request"
    CUT_AFTER = "reset; the broker has done it, the client is not told"
    SILENT_BEFORE = "nothing passes any more, from the request on; the connection stays up"
    SILENT_AFTER = "nothing passes any more, from the response on; the connection stays up"


@dataclass(eq=False)
class Trap:
    """A fault that waits for its request. `struck` is set when it has met as many as it should."""

    request: Request
    fault: Fault
    delay_s: float
    count: int
    struck: threading.Event = field(default_factory=threading.Event)

    def wait(self, timeout_s: float = 30.0) -> None:
        assert self.struck.wait(timeout_s), f"no {self.request.name} came within {timeout_s:g} s"


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    silent: bool = False
    last_words: dict[int, Fault] = field(default_factory=dict)
    """What happens instead of the response with this correlation ID."""

    def reset(self) -> None:
        for writer in (self.client, self.broker):
            found = writer.get_extra_info("socket")
            if found is not None and found.fileno() >= 0:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            writer.transport.abort()


class Proxy:
    """Listens on `port` from the start; `forward_to` says where the broker is. Its methods are for any thread."""

    def __init__(self) -> None:
        self._socket = socket.create_server((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self.address = f"{HOST}:{self.port}"
        self.seen: dict[int, int] = {}
        """How many requests of each kind have come."""
        self._broker_port = 0
        self._delay_s = 0.0
        self._refusing = False
        self._swallowing = False
        self._traps: list[Trap] = []
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def forward_to(self, port: int) -> None:
        self._broker_port = port

    # Faults of all traffic.

    def delay(self, seconds: float) -> None:
        """Hold up every request and every response by so much."""
        self._delay_s = seconds

    def cut(self) -> None:
        """Reset all connections that are up; new ones are let in."""
        self._do(self._reset_all)

    def refuse(self) -> None:
        """Reset all connections that are up, and every new one."""
        self._refusing = True
        self.cut()

    def swallow(self) -> None:
        """Half-open: connections stay up and new ones are accepted, but nothing arrives anywhere."""
        self._swallowing = True

    def at(self, request: Request, fault: Fault, *, delay_s: float = 0.0, count: int = 1) -> Trap:
        """Let this happen to the connections of the next `count` such requests."""
        trap = Trap(request, fault, delay_s, count)
        self._do(lambda: self._traps.append(trap))
        return trap

    def resume(self) -> None:
        """Let everything pass again. What was swallowed is gone, so connections that lost something are reset."""
        self._delay_s, self._refusing, self._swallowing = 0.0, False, False

        def heal() -> None:
            self._traps.clear()
            for connection in [one for one in self._connections if one.silent]:
                connection.reset()

        self._do(heal)

    def close(self) -> None:
        self._do(self._closing.set)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    # In the proxy's own thread.

    def _do(self, action: Callable[[], object]) -> None:
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        self._loop.call_soon_threadsafe(act)
        assert done.wait(_PATIENCE_S), "the proxy's thread has ended"

    def _serve(self) -> None:
        self._loop.run_until_complete(self._serve_until_closed())

    async def _serve_until_closed(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._socket)
        await self._closing.wait()
        server.close()
        self._reset_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _reset_all(self) -> None:
        for connection in list(self._connections):
            connection.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "called in a task"
        self._tasks.add(task)
        try:
            await self._forward(reader, writer)
        except OSError:
            _Connection(writer, writer).reset()
        finally:
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            raise ConnectionRefusedError
        answers, broker = await asyncio.open_connection(HOST, self._broker_port)
        connection = _Connection(writer, broker)
        self._connections.add(connection)
        pumps = [
            asyncio.ensure_future(self._pump(reader, broker, connection, self._on_request)),
            asyncio.ensure_future(self._pump(answers, writer, connection, self._on_response)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            connection.reset()
            self._connections.discard(connection)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: _Connection,
        check: Callable[[bytes, _Connection], tuple[Fault | None, float]],
    ) -> None:
        """Pass frame after frame (4 bytes of length, then as many), or do with them what the test wants."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(4)
                body = await reader.readexactly(int.from_bytes(head, "big"))
                fault, delay_s = check(body, connection)
                if fault in (Fault.CUT_BEFORE, Fault.CUT_AFTER):
                    return
                if fault in (Fault.SILENT_BEFORE, Fault.SILENT_AFTER) or self._swallowing:
                    connection.silent = True
                if delay_s or self._delay_s:
                    await asyncio.sleep(delay_s or self._delay_s)
                if not connection.silent:
                    writer.write(head + body)
                    await writer.drain()

    def _on_request(self, body: bytes, connection: _Connection) -> tuple[Fault | None, float]:
        kind, _version, correlation_id = struct.unpack_from(">hhi", body)
        self.seen[kind] = self.seen.get(kind, 0) + 1
        trap = next((one for one in self._traps if one.request == kind), None)
        if trap is None or connection.silent:
            return None, 0.0
        trap.count -= 1
        if trap.count == 0:
            self._traps.remove(trap)
            trap.struck.set()
        if trap.fault in (Fault.CUT_AFTER, Fault.SILENT_AFTER):
            connection.last_words[correlation_id] = trap.fault
            return None, 0.0
        return trap.fault, trap.delay_s

    def _on_response(self, body: bytes, connection: _Connection) -> tuple[Fault | None, float]:
        (correlation_id,) = struct.unpack_from(">i", body)
        return connection.last_words.pop(correlation_id, None), 0.0


class Proxies:
    """One proxy for each broker of a cluster, all treated alike."""

    def __init__(self, count: int) -> None:
        self.each = [Proxy() for _ in range(count)]

    @property
    def ports(self) -> list[int]:
        return [proxy.port for proxy in self.each]

    @property
    def address(self) -> str:
        return ",".join(proxy.address for proxy in self.each)

    def forward_to(self, ports: Sequence[int]) -> None:
        for proxy, port in zip(self.each, ports, strict=True):
            proxy.forward_to(port)

    def close(self) -> None:
        for proxy in self.each:
            proxy.close()
