"""Values that several records share.

Records are msgspec structs: one decode checks the shape, keeps payloads as the bytes they came in (`Payload`), and the
same classes give the published JSON Schemas. Why msgspec and not orjson: docs/internals/dependencies.md.
Every record carries `v`, the version of its format; a reader refuses a version that it does not know.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

Payload = msgspec.Raw
"""A JSON value as encoded bytes: user data that Weft carries and never looks into."""

NULL = msgspec.Raw(b"null")
"""The payload of a value that is not given."""

PAYLOAD_BYTES_MAX = 900_000
"""The largest input, result or signal: with what is put around it, it fits every topic's record limit."""

STORED_MARK = b'{"$weft.stored":'
"""How a payload begins that only says where the real one lies. User data that begins so gets a space after its brace:
to JSON that is the same value, and it is no reference."""
REFERENCE_BYTES_MIN = 200
"""No reference is shorter: its key and its hash alone are longer than most payloads."""


RESERVED_MARK = b'{"$weft.'
"""How references and encoded payloads begin, and no user data."""
ENCODED_MARK = b'{"$weft.encoded":'
"""How a payload begins that codecs have encoded: compressed, encrypted."""


class StoredPayload(msgspec.Struct, frozen=True, gc=False):
    """Where a payload lies that is too large for a record.

    `key` is its name in the payload store, `sha256` of its JSON in hexadecimal digits, `bytes` its length.
    """

    key: str
    sha256: str
    bytes: int
    v: Literal[1] = 1


class PayloadReference(msgspec.Struct, frozen=True, gc=False):
    """Stands on the log instead of a payload that lies in the payload store; always in this very spelling."""

    stored: StoredPayload = msgspec.field(name="$weft.stored")


class CodecStep(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One codec that a payload went through, and which of its keys it used."""

    codec: str
    key: str = ""


class EncodedPayload(msgspec.Struct, frozen=True, gc=False):
    """A payload as its codecs left it, in base64; `steps` are in the order in which they were taken."""

    steps: tuple[CodecStep, ...]
    data: str
    v: Literal[1] = 1


class PayloadEnvelope(msgspec.Struct, frozen=True, gc=False):
    """Stands on the log instead of a payload that is encoded; never shorter than a reference, by spaces at its end."""

    encoded: EncodedPayload = msgspec.field(name="$weft.encoded")


Status = Literal[
    "running",
    "completed",
    "failed",
    "cancelled",
    "terminated",
    "timed_out",
    "continued",
    "blocked",
    "suspended",
]
"""`continued` is how a run stands that another one continues: its workflow has that one's status."""
STATUSES: tuple[Status, ...] = tuple(status for status in get_args(Status) if status != "continued")
"""Those that a workflow may have."""
ENDED: frozenset[str] = frozenset(
    {"completed", "failed", "cancelled", "terminated", "timed_out", "continued"}
)
"""The statuses that never change again. `blocked` is not one of them: a fixed deployment continues the run."""

HELD: frozenset[str] = frozenset({"blocked", "suspended"})
"""The statuses of an open run whose code is not driven: what comes in is kept for later."""

OnConflict = Literal["fail", "use_existing", "terminate_existing"]

ParentClose = Literal["terminate", "cancel", "abandon"]
"""What becomes of a child that is open when its parent's run ends."""

ChildStatus = Literal["failed", "cancelled", "terminated", "timed_out", "not_started"]
"""How a child ended that did not complete. `not_started`: its ID, its namespace or its input would not do."""


class RetryPolicy(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How often and when a failed activity is tried again.

    `max_attempts` counts the first one. The interval before retry k is `min(initial * coefficient**(k-1), max)` times
    a factor drawn from `[1-jitter, 1+jitter)`, then clipped to `max`. `non_retryable` are names of exception types.
    """

    max_attempts: int = 3
    initial_interval_ms: int = 100
    backoff_coefficient: float = 2.0
    max_interval_ms: int = 10_000
    jitter: float = 0.5
    non_retryable: tuple[str, ...] = ()


DEFAULT_RETRY = RetryPolicy()
"""What an activity gets that asks for nothing. This very object is left out where a record is written."""

ONE_ATTEMPT = RetryPolicy(max_attempts=1)
"""What a child workflow gets that asks for nothing: its activities have their own retries."""

DEFAULT_START_TO_CLOSE_MS = 600_000
"""Likewise: ten minutes."""


class Caller(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The command of a run that a message, or a child, comes from."""

    namespace: str
    workflow_id: str
    run_id: str
    number: int
    """Of the command, which no other of the run has."""
    attempt: int = 1
    """Of a child: which of its runs this is, counted by its retry policy."""


class RunTrace(msgspec.Struct, frozen=True, gc=False):
    """The trace of a run that belongs below another one's, where that trace began with a run and no caller's span.

    The IDs of the trace and of its spans follow from those of the runs. Whether it is sampled is for whoever emits it,
    and follows from its ID and from the workflow that it began with.
    """

    root_run_id: str
    """The run that the trace began with."""
    root_workflow: str
    parent_run_id: str
    """The run whose span this one's belongs below."""


class FailureInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failure as it stands in a history: the type's name, its message, and what caused it.

    With `sealed`, its message and its stack lie in `details`, encoded together with these.
    """

    type: str
    message: str = ""
    details: Payload = NULL
    non_retryable: bool = False
    stack: str = ""
    cause: FailureInfo | None = None
    sealed: bool = False


UPDATE_NAME_LENGTH_MAX = 255
"""Characters of an update's name, and of its ID: both stand in its outcome, beside a result that may be large."""

CUSTOM_STATUS_BYTES_MAX = 4096
"""The largest custom status: it is written with every step, and read for every line of a list."""

HEARTBEAT_BYTES_MAX = 64 * 1024
"""The largest details of a heartbeat: they are written again and again."""

REPLY_PARTITION_MAX = 100_000
"""Anybody may write a request, and an owner must be able to name the partition that it asks for."""


class ReplyTo(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where and how to answer a client: a record on `ns.replies` with this client as its key."""

    client: str
    request: str
    partition: Annotated[int, msgspec.Meta(ge=0, le=REPLY_PARTITION_MAX)]
    until: Literal["accepted", "ended"] = "accepted"
    """Answer when the request is durable, or when the run has ended."""
