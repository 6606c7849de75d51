"""The client: start workflows and wait for them, from any asyncio program."""

from __future__ import annotations

import asyncio
import builtins
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from weft.client._deadletters import (
    DeadLetter,
    LetterFilter,
    mark_headers,
    read_letter,
    read_letters,
    to_replay,
)
from weft.client._description import WorkflowSummary, summarize
from weft.client._duration import Duration, seconds
from weft.client._handle import READ_TIMEOUT_S, WAIT_S, Handle, value_of
from weft.client._orphans import orphans
from weft.client._session import Session
from weft.client._start import Start, StartOptions, decode_any
from weft.client._state import read_fields, read_referenced
from weft.client._texts import already_started, repeatable
from weft.errors import DeadlineError, RefusedError, UnknownWorkflowError, UsageError
from weft.host import HOST, Host
from weft.log import Log, open_log
from weft.payloads import CodecsOption, StoredObject, StoreOption
from weft.records import ENDED, PAYLOAD_BYTES_MAX, STATUSES, OnConflict
from weft.topics import Namespace
from weft.workflow import Workflow

In = TypeVar("In")
Out = TypeVar("Out")

PURGES_AT_ONCE = 500
PAYLOADS_KEPT = timedelta(days=8)
"""A day longer than the topics keep the records that may refer to a payload."""


class Client:
    """A connection to the workflows of one namespace, opened and closed by `async with`.

    One client serves thousands of calls at once; all of them belong to the event loop that opened it.
    """

    def __init__(
        self,
        log: Log,
        *,
        namespace: str = "default",
        payload_store: StoreOption = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        payload_codecs: CodecsOption = (),
        host: Host = HOST,
    ) -> None:
        """On a log that is open already, and stays open. Raises UsageError for a bad namespace."""
        self._session = Session(
            lambda: log,
            Namespace(namespace),
            owns_log=False,
            payload_store=payload_store,
            payload_bytes_max=payload_bytes_max,
            payload_codecs=payload_codecs,
            host=host,
        )

    @classmethod
    def connect(
        cls,
        *,
        kafka: str | None = None,
        embedded: str | os.PathLike[str] | None = None,
        kafka_config: Mapping[str, Any] | None = None,
        namespace: str = "default",
        payload_store: StoreOption = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        payload_codecs: CodecsOption = (),
    ) -> Self:
        """A client of a Kafka cluster (`host:port`) or of an embedded log (a file that exists).

        `payload_store` is the folder or URL where inputs and signals of more than `payload_bytes_max` go; workers need
        the same one (default: none with Kafka, the folder `FILE.payloads` with an embedded log). `payload_codecs`
        compress and encrypt what goes to the log, in their order; workers need the same.

        It is opened by `async with`, which raises LogUnavailableError when the log cannot be reached and TopicError
        when topics are missing. Raises UsageError when not exactly one of the two is given.
        """
        if bool(kafka) is (embedded is not None):
            raise UsageError(
                "A client connects to Kafka (kafka='host:port') or to a file (embedded='PATH'): give one of them."
            )

        def open_it() -> Log:
            if embedded is not None and not Path(embedded).exists():
                raise UsageError(
                    f"There is no embedded log at {embedded}. `weft dev FILE` makes one, or: weft topics create"
                )
            return open_log(kafka=kafka, embedded=embedded, kafka_config=kafka_config)

        client = cls.__new__(cls)
        client._session = Session(
            open_it,
            Namespace(namespace),
            owns_log=True,
            payload_store=payload_store,
            payload_bytes_max=payload_bytes_max,
            payload_codecs=payload_codecs,
        )
        return client

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """What `async with` does first. Raises LogUnavailableError, TopicError, UsageError."""
        await self._session.open()

    async def close(self) -> None:
        """What `async with` does last. Calls that still wait raise UsageError."""
        await self._session.close()

    # Starting.

    @overload
    async def start(
        self,
        workflow: Workflow[In, Out],
        input: In,
        *,
        confirm: bool = ...,
        wait_s: float = ...,
        **options: Unpack[StartOptions],
    ) -> Handle[Out]: ...
    @overload
    async def start(
        self,
        workflow: Workflow[None, Out],
        *,
        confirm: bool = ...,
        wait_s: float = ...,
        **options: Unpack[StartOptions],
    ) -> Handle[Out]: ...
    @overload
    async def start(
        self,
        workflow: str,
        input: object = ...,
        *,
        confirm: bool = ...,
        wait_s: float = ...,
        **options: Unpack[StartOptions],
    ) -> Handle[Any]: ...
    async def start(
        self,
        workflow: Workflow[Any, Any] | str,
        input: object = None,
        *,
        id: str | None = None,
        timeout: Duration | None = None,  # noqa: ASYNC109  # the run's, kept by its owner
        on_conflict: OnConflict = "fail",
        request_id: str | None = None,
        version: str | None = None,
        confirm: bool = True,
        wait_s: float = WAIT_S,
    ) -> Handle[Any]:
        """Start a workflow and return when that is durable and its owner has confirmed it.

        `id` is generated when it is not given (from `request_id`, when there is one). `timeout` is the time that the
        whole run has. `on_conflict` says what to do when a run with this ID is open. Starting twice with one
        `request_id` is one run. `version` is the one that it must have (`@workflow.define(version=...)`; default: the
        newest that its worker has): without a worker for it, the run is blocked until one comes.

        With `confirm=False` it returns as soon as the record is durable: a conflict then comes out in `result()`.

        Raises UsageError for a bad input or option, before anything is written (PayloadTooLargeError for an input that
        no record takes, without a payload store); AlreadyStartedError on a conflict; DeadlineError when nobody
        confirmed within `wait_s` (the text says where the record stands); PayloadError, LogError.
        """
        start = Start(
            self._session,
            workflow,
            input,
            id=id,
            timeout=timeout,
            on_conflict=on_conflict,
            request_id=request_id,
            version=version,
        )
        session, address = self._session, start.address
        what = f"The start of workflow {address.workflow_id!r}"
        await start.set_aside()
        if not confirm:
            record = start.record(None)
            await session.write(address, record, wait_s, what)
            return Handle(session, address.workflow_id, "", start.decode, start=record)
        try:
            reply, _ = await session.ask(address, start.record, wait_s, what)
        except DeadlineError as error:
            how = f"id={address.workflow_id!r} (--id) and request_id={start.request_id!r} (--request-id)"
            raise repeatable(error, how) from None
        if reply.outcome == "conflict":
            raise already_started(address.workflow_id, reply)
        return Handle(session, address.workflow_id, reply.run_id, start.decode, is_new=True)

    @overload
    async def execute(
        self,
        workflow: Workflow[In, Out],
        input: In,
        *,
        wait_s: float | None = ...,
        **options: Unpack[StartOptions],
    ) -> Out: ...
    @overload
    async def execute(
        self,
        workflow: Workflow[None, Out],
        *,
        wait_s: float | None = ...,
        **options: Unpack[StartOptions],
    ) -> Out: ...
    @overload
    async def execute(
        self,
        workflow: str,
        input: object = ...,
        *,
        wait_s: float | None = ...,
        **options: Unpack[StartOptions],
    ) -> Any: ...
    async def execute(
        self,
        workflow: Workflow[Any, Any] | str,
        input: object = None,
        *,
        id: str | None = None,
        timeout: Duration | None = None,  # noqa: ASYNC109  # the run's, kept by its owner
        on_conflict: OnConflict = "fail",
        request_id: str | None = None,
        version: str | None = None,
        wait_s: float | None = None,
    ) -> Any:
        """Start a workflow and wait for its result, with one request and one reply. The options are those of `start`.

        `wait_s` bounds start and result together (None: as long as it takes); the run goes on after it. Raises what
        `start` and `Handle.result` raise.
        """
        start = Start(
            self._session,
            workflow,
            input,
            id=id,
            timeout=timeout,
            on_conflict=on_conflict,
            request_id=request_id,
            version=version,
        )
        address = start.address
        await start.set_aside()
        reply = await self._session.wait_for_end(address, wait_s, start=start.record)
        if reply.outcome == "conflict":
            raise already_started(address.workflow_id, reply)
        return await value_of(self._session, address.workflow_id, reply, start.decode)

    # Workflows that are there.

    @overload
    def handle(self, id: str, workflow: Workflow[Any, Out], run_id: str = ...) -> Handle[Out]: ...
    @overload
    def handle(self, id: str, workflow: str | None = ..., run_id: str = ...) -> Handle[Any]: ...
    def handle(
        self, id: str, workflow: Workflow[Any, Any] | str | None = None, run_id: str = ""
    ) -> Handle[Any]:
        """A workflow that was started before; nothing is asked yet. `workflow` gives its result a type.

        Raises UsageError for what cannot be an ID.
        """
        decode = workflow.decode_result if isinstance(workflow, Workflow) else decode_any
        return Handle(self._session, id, run_id, decode)

    async def list(
        self,
        status: str | None = None,
        limit: int | None = None,
        workflow: str | None = None,
        *,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> builtins.list[WorkflowSummary]:
        """The workflows of the namespace, newest first, as committed; needs no worker.

        Reads the whole state topic: meant for people and for small tools. Raises UsageError for an unknown status or a
        bad limit, LogError.
        """
        if status is not None and status not in STATUSES:
            raise UsageError(f"There is no status {status!r}; there are {', '.join(STATUSES)}.")
        if limit is not None and limit < 0:
            raise UsageError(f"limit={limit} cannot be: give 0 or more.")
        found = await self._session.read(read_fields, self._session.partition_count, timeout_s)
        chosen = [
            (workflow_id, fields)
            for workflow_id, fields in found.items()
            if (status is None or fields.status == status)
            and (workflow is None or fields.workflow == workflow)
        ]
        chosen.sort(key=lambda item: (-item[1].created_ms, item[0]))
        payloads = self._session.payloads
        return [
            summarize(workflow_id, fields, payloads.readable(fields.custom_status, workflow_id))
            for workflow_id, fields in chosen[:limit]
        ]

    async def purge(self, id: str, *, timeout_s: float = WAIT_S) -> None:
        """Delete an ended workflow. Raises like `Handle.purge`."""
        await self.handle(id).purge(timeout_s=timeout_s)

    async def purge_ended(self, older_than: Duration = 0.0, *, timeout_s: float = WAIT_S) -> int:
        """Delete every workflow that ended longer than `older_than` ago (0: every one); returns how many it deleted.

        `timeout_s` bounds each deletion. Raises DeadlineError, LogError; what was deleted before stays deleted.
        """
        age_s = seconds(older_than, "older_than")
        ended_before = datetime.now(UTC) - timedelta(seconds=age_s)
        old = [
            found
            for found in await self.list()
            # A worker's clock may be ahead of ours: 0 does not ask for the time.
            if found.status in ENDED and (not age_s or found.updated <= ended_before)
        ]
        count = 0
        for first in range(0, len(old), PURGES_AT_ONCE):
            chunk = old[first : first + PURGES_AT_ONCE]
            count += sum(
                await asyncio.gather(*(self._purge_if_there(found, timeout_s) for found in chunk))
            )
        return count

    async def clean_payloads(
        self, older_than: Duration = PAYLOADS_KEPT, *, dry_run: bool = False
    ) -> builtins.list[StoredObject]:
        """Delete payloads in the store that no run refers to, and return them; with `dry_run` only return them.

        Only those that were stored longer than `older_than` ago, which must be more than the retention of the topics:
        the record that refers to a younger one may not have been read yet. Reads the whole state topic. Raises
        UsageError when there is no payload store, PayloadError, LogError.
        """
        age_s = seconds(older_than, "older_than")
        payloads = self._session.payloads
        store = payloads.store
        if store is None:
            raise UsageError(
                "There is no payload store to clean: name it (payload_store=..., --payload-store, WEFT_PAYLOAD_STORE)."
            )
        written_before_s = self._session.host.time() - age_s
        # First what is there, then what is referred to: what comes in between is not missed.
        found = await asyncio.to_thread(store.list, payloads.namespace)
        referenced = await self._session.read(
            read_referenced, self._session.partition_count, READ_TIMEOUT_S
        )
        unused = orphans(found, referenced, written_before_s)
        if not dry_run:
            await asyncio.to_thread(store.delete, [one.key for one in unused])
        return unused

    async def _purge_if_there(self, found: WorkflowSummary, timeout_s: float) -> bool:
        try:
            await self.handle(found.workflow_id, run_id=found.run_id).purge(timeout_s=timeout_s)
        except (UnknownWorkflowError, RefusedError):
            return False  # Somebody else purged it, or a newer run has taken its place.
        return True

    # What workers put aside.

    async def deadletters(
        self,
        *,
        topic: str = "",
        reason: str = "",
        since: Duration | None = None,
        replayed: bool | None = None,
        limit: int | None = None,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> builtins.list[DeadLetter]:
        """What workers could not use and put aside, oldest first; needs no worker.

        `topic` is where a record came on (`signals`, or in full), `reason` a part of why it was put aside, `since` how
        long ago at most. `replayed` picks those that were replayed, or were not. With a `limit`: the newest so many.
        Raises UsageError for a bad limit or duration, LogError.
        """
        if limit is not None and limit < 0:
            raise UsageError(f"limit={limit} cannot be: give 0 or more.")
        session = self._session
        age_s = None if since is None else seconds(since, "since")
        wanted = LetterFilter(
            self._topic_in_full(topic),
            reason,
            0 if age_s is None else int((session.host.time() - age_s) * 1000),
            replayed,
        )
        found = await session.read_from(
            read_letters, session.namespace.deadletters, session.partition_count, wanted, timeout_s
        )
        return found if limit is None else found[len(found) - min(limit, len(found)) :]

    async def deadletter(
        self, partition: int, offset: int, *, timeout_s: float = READ_TIMEOUT_S
    ) -> DeadLetter:
        """One of them. Raises UnknownDeadLetterError, UsageError when there is no such partition, LogError."""
        session = self._session
        if not 0 <= partition < session.partition_count:
            raise UsageError(
                f"There is no partition {partition}: namespace {session.namespace.name} has {session.partition_count}."
            )
        return await session.read_from(
            read_letter, session.namespace.deadletters, partition, offset, timeout_s
        )

    async def replay(
        self,
        letter: DeadLetter,
        *,
        key: str | None = None,
        value: bytes | None = None,
        timeout_s: float = WAIT_S,
    ) -> str:
        """Write a dead letter's record to its topic again, on the partition of its workflow, and mark the letter.

        `key` (a workflow ID) and `value` (the record's bytes) mend what was wrong. Returns
        `topic-partition@offset` of what was written. What came in vain is put aside anew. A signal with an ID, a start
        and a result count once however often they are written; a signal without an ID counts each time.

        Raises UsageError for what no worker could use, before anything is written; DeadlineError, LogError.
        """
        session = self._session
        replay = to_replay(session.namespace, letter, key, value)
        address = session.address(replay.workflow_id)
        what = f"The replay of dead letter {letter.place}"
        partition, offset = await session.produce(
            replay.topic,
            address.partition,
            address.key,
            replay.value,
            replay.headers,
            timeout_s,
            what,
        )
        place = f"{replay.topic}-{partition}@{offset}"
        await session.produce(
            session.namespace.deadletters,
            letter.partition,
            letter.key,
            None,
            mark_headers(letter, place),
            timeout_s,
            f"The mark of dead letter {letter.place}, which was replayed to {place},",
        )
        return place

    def _topic_in_full(self, topic: str) -> str:
        if not topic:
            return ""
        prefix = f"{self._session.namespace.name}."
        return topic if topic.startswith(prefix) else prefix + topic
