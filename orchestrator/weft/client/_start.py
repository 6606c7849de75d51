"""One start: checked, encoded, and ready to be written as often as it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

from weft.client._duration import Duration, seconds
from weft.client._request import Address
from weft.client._session import Session
from weft.codec import decoder, encode_payload
from weft.errors import UsageError
from weft.records import OnConflict, Payload, ReplyTo, StartWorkflow
from weft.tracing import current_traceparent
from weft.workflow import Workflow

ON_CONFLICT: tuple[OnConflict, ...] = ("fail", "use_existing", "terminate_existing")
decode_any: Callable[[Payload], Any] = decoder(Any)


class StartOptions(TypedDict, total=False):
    """What every start may be given; `Client.start` says what each means."""

    id: str | None
    timeout: Duration | None
    on_conflict: OnConflict
    request_id: str | None
    version: str | None


class Start:
    """Which workflow, on what, and where to. Raises UsageError for anything that a start cannot be made of.

    Before it is written, `set_aside` must have found a place for its input.
    """

    __slots__ = (
        "_input",
        "_name",
        "_on_conflict",
        "_session",
        "_timeout_ms",
        "_traceparent",
        "_version",
        "address",
        "decode",
        "request_id",
    )

    def __init__(
        self,
        session: Session,
        workflow: object,
        value: object,
        *,
        id: str | None,
        timeout: Duration | None,
        on_conflict: OnConflict,
        request_id: str | None,
        version: str | None = None,
    ) -> None:
        self._session = session
        self.decode: Callable[[Payload], Any]
        if isinstance(workflow, Workflow):
            self._name = workflow.name
            self._input = workflow.encode_input(value)
            self.decode = workflow.decode_result
        elif isinstance(workflow, str) and workflow:
            self._name = workflow
            self._input = encode_payload(value)
            self.decode = decode_any
        else:
            raise UsageError(
                f"{workflow!r} is no workflow: give what `workflow.define` returned, or a workflow's name."
            )
        if on_conflict not in ON_CONFLICT:
            raise UsageError(
                f"on_conflict={on_conflict!r} cannot be: give one of {', '.join(ON_CONFLICT)}."
            )
        self._timeout_ms = (
            0 if timeout is None else max(1, round(seconds(timeout, "timeout") * 1000))
        )
        self._on_conflict = on_conflict
        self._traceparent = current_traceparent()
        self._version = version or ""
        self.request_id = request_id or session.new_id()
        generated_id = request_id or session.host.token()
        self.address: Address = session.address(generated_id if id is None else id)

    async def set_aside(self) -> None:
        """Store a large input aside. Raises PayloadTooLargeError when there is no place for it, PayloadError."""
        what = f"The input of workflow {self.address.workflow_id!r}"
        self._input = await self._session.set_aside(self.address, self._input, what)

    def record(self, reply_to: ReplyTo | None) -> StartWorkflow:
        return StartWorkflow(
            self._name,
            self.request_id,
            self._input,
            self._timeout_ms,
            self._on_conflict,
            reply_to,
            self._traceparent,
            self._version,
        )
