"""An open connection to one namespace: what `Client` and every `Handle` share."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from weft.client._bridge import Bridge
from weft.client._end_request import EndRequest
from weft.client._lookup import Lookup
from weft.client._request import Address, Request
from weft.client._texts import not_answered, not_confirmed, not_ended, unknown
from weft.client._updates import UpdateRequest
from weft.codec import encode, is_stored
from weft.errors import TopicError, UsageError
from weft.host import HOST, Host
from weft.log import Headers, Log
from weft.payloads import CodecsOption, Payloads, StoreOption
from weft.records import (
    PAYLOAD_BYTES_MAX,
    Payload,
    QueryWorkflow,
    Reply,
    ReplyTo,
    SignalsRecord,
    StartWorkflow,
    UpdateWorkflow,
)
from weft.topics import Namespace, check_workflow_id, partition_of

T = TypeVar("T")

OPEN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Connection:
    log: Log
    bridge: Bridge
    lookup: Lookup


class Session:
    """`open_log` is called when the client opens; with `owns_log` the log is closed with it."""

    def __init__(
        self,
        open_log: Callable[[], Log],
        namespace: Namespace,
        *,
        owns_log: bool,
        payload_store: StoreOption = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        payload_codecs: CodecsOption = (),
        host: Host = HOST,
    ) -> None:
        self.namespace = namespace
        self.payloads = Payloads(
            namespace.name, bytes_max=payload_bytes_max, codecs=payload_codecs, host=host
        )
        self.client_id = host.token()
        self.log_name = ""
        self.partition_count = 0
        self.host = host
        self._payload_store = payload_store
        self._open_log = open_log
        self._owns_log = owns_log
        self._connection: _Connection | None = None
        self._replies_partition = 0
        self._numbers = itertools.count(1)

    # Opening and closing.

    async def open(self) -> None:
        """Raises LogUnavailableError when the log cannot be reached, TopicError when topics are missing."""
        if self._connection is not None:
            raise UsageError("The client is open already.")
        log, bridge = await asyncio.to_thread(self._connect)
        bridge.start()
        self._connection = _Connection(log, bridge, Lookup(log, self.namespace.state))

    async def close(self) -> None:
        """Requests that still wait are told so."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.bridge.fail_all()
        await connection.lookup.close()
        try:
            await asyncio.to_thread(connection.bridge.close)
        finally:
            if self._owns_log:
                await asyncio.to_thread(connection.log.close)

    def _connect(self) -> tuple[Log, Bridge]:
        log = self._open_log()
        try:
            self.log_name = log.name
            self.payloads = Payloads.open(
                self.namespace.name,
                self._payload_store,
                log.payload_store,
                bytes_max=self.payloads.bytes_max,
                codecs=self.payloads.codecs,
                host=self.host,
            )
            self._look_at_topics(log)
            self._replies_partition = partition_of(self.client_id.encode(), self.partition_count)
            replies = self.namespace.replies
            bridge = Bridge(
                log,
                replies,
                client_id=self.client_id,
                partition=self._replies_partition,
                host=self.host,
            )
        except BaseException:
            if self._owns_log:
                log.close()
            raise
        return log, bridge

    def _look_at_topics(self, log: Log) -> None:
        names = self.namespace
        topics = [names.signals, names.state, names.queries, names.replies]
        admin = log.admin()
        try:
            found = admin.describe_topics(topics, OPEN_TIMEOUT_S)
        finally:
            admin.close()
        missing = [topic for topic in topics if topic not in found]
        if missing:
            raise TopicError(
                f"{self.log_name} has no topic {', '.join(missing)}, so namespace {names.name} cannot be used. Create "
                f"the topics with: weft topics create --namespace {names.name}"
            )
        counts = {topic: info.partitions for topic, info in found.items()}
        if len(set(counts.values())) > 1:
            raise TopicError(
                f"The topics of namespace {names.name} on {self.log_name} have different numbers of partitions "
                f"({counts}), but a workflow has one partition number on all of them. See what is wrong with: "
                f"weft topics check --namespace {names.name}"
            )
        self.partition_count = counts[names.signals]

    # What requests are made of.

    @property
    def connection(self) -> _Connection:
        if self._connection is None:
            raise _not_open()
        return self._connection

    def address(self, workflow_id: str) -> Address:
        """Raises UsageError for what cannot be a workflow ID, or when the client is not open."""
        check_workflow_id(workflow_id)
        if not self.partition_count:
            raise _not_open()
        key = workflow_id.encode()
        return Address(workflow_id, key, partition_of(key, self.partition_count))

    def new_id(self) -> str:
        """An ID that no other request, signal or client has."""
        return f"{self.client_id}-{next(self._numbers)}"

    def reply_to(self, until: Literal["accepted", "ended"]) -> ReplyTo:
        return ReplyTo(self.client_id, str(next(self._numbers)), self._replies_partition, until)

    async def set_aside(self, address: Address, payload: Payload, what: str) -> Payload:
        """What goes into a record instead of a payload: as codecs leave it, and a reference when it is too large.

        Raises PayloadTooLargeError when there is no payload store, PayloadError when that did not take it.
        """
        payload = self.payloads.encode(payload, address.workflow_id)
        if len(payload) <= self.payloads.bytes_max:
            return payload
        return await asyncio.to_thread(
            self.payloads.set_aside,
            payload,
            workflow_id=address.workflow_id,
            scope=self.new_id(),
            what=what,
        )

    async def open_payload(self, workflow_id: str, payload: Payload) -> Payload:
        """What a payload on the log stands for.

        Raises PayloadError when that cannot be had, PayloadDecodeError when it cannot be decoded.
        """
        if not is_stored(payload):
            return self.payloads.decode(payload, workflow_id)
        return await asyncio.to_thread(self.payloads.decode, payload, workflow_id)

    # Asking.

    async def ask(
        self,
        address: Address,
        make: Callable[[ReplyTo], SignalsRecord | QueryWorkflow],
        wait_s: float,
        what: str,
    ) -> tuple[Reply, int]:
        """Write a record that an owner answers: at once if it asks something, else when it is durable.

        `what` begins the texts of errors. Returns the reply and how often it was asked for. Raises DeadlineError when
        no answer came within `wait_s`, LogError when it could not be written.
        """
        reply_to = self.reply_to("accepted")
        record = make(reply_to)
        topics = self.namespace
        topic = topics.queries if isinstance(record, QueryWorkflow) else topics.signals
        request = Request(self.connection.bridge, address, reply_to.request, topic, encode(record))
        reply = await request.reply(wait_s)
        if reply is None:
            raise not_confirmed(self, request, what, wait_s)
        return reply, request.asks

    async def update(
        self,
        address: Address,
        record: UpdateWorkflow,
        until: Literal["accepted", "ended"],
        wait_s: float | None,
    ) -> tuple[Reply | None, UpdateRequest]:
        """Send an update and wait for what comes of it; None: that did not come within `wait_s`. Raises LogError."""
        request = UpdateRequest(
            self.connection.bridge,
            address,
            self.namespace,
            record,
            lambda: self.reply_to(until),
        )
        return await request.reply(wait_s), request

    async def write(
        self, address: Address, record: SignalsRecord, wait_s: float, what: str
    ) -> None:
        """Write a record without asking for an answer, and return when it is durable.

        Raises DeadlineError when that takes longer than `wait_s`, LogError when it could not be written.
        """
        await self.produce(
            self.namespace.signals, address.partition, address.key, encode(record), (), wait_s, what
        )

    async def produce(  # noqa: PLR0917  # a record's parts, in the log's order
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        wait_s: float,
        what: str,
    ) -> tuple[int, int]:
        """Write one record and return its (partition, offset) once it is durable. Raises like `write`."""
        try:
            async with asyncio.timeout(wait_s):
                return await self.connection.bridge.write(topic, partition, key, value, headers)
        except TimeoutError:
            raise not_confirmed(self, None, what, wait_s) from None

    async def wait_for_end(
        self,
        address: Address,
        wait_s: float | None,
        *,
        start: Callable[[ReplyTo], StartWorkflow] | None = None,
        run_id: str = "",
        fresh_until: float = 0.0,
    ) -> Reply:
        """The reply that tells how the run ended (or that its start met a conflict).

        Raises UnknownWorkflowError, DeadlineError, LogError.
        """
        connection = self.connection
        reply_to = self.reply_to("ended")
        request = EndRequest(
            connection.bridge,
            address,
            self.namespace,
            connection.lookup,
            reply_to=reply_to,
            start=start(reply_to) if start is not None else None,
            run_id=run_id,
            fresh_until=fresh_until,
        )
        reply = await request.reply(wait_s)
        if reply is None:
            assert wait_s is not None, "only a bounded wait ends without a reply"
            if start is not None and not request.run_id:
                what = f"The start of workflow {address.workflow_id!r}"
                raise not_confirmed(self, request, what, wait_s)
            raise (not_ended if request.status else not_answered)(self, request, wait_s)
        if reply.outcome == "unknown":
            raise unknown(self, address.workflow_id, request.run_id)
        return reply

    async def read(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function of `weft.client._state` in a thread, on this session's log and state topic."""
        return await self.read_from(function, self.namespace.state, *arguments)

    async def read_from(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that reads the log in a thread, on this session's log."""
        return await asyncio.to_thread(function, self.connection.log, *arguments)


def _not_open() -> UsageError:
    return UsageError(
        "The client is not open: use it as `async with Client.connect(...) as client:`."
    )
