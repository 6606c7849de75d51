"""A workflow as a child: what is to be started, and how."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, overload

from weft.activity import Retry, policy_of, to_ms
from weft.codec import decoder, encode_payload
from weft.errors import UsageError
from weft.records import ONE_ATTEMPT, ParentClose, Payload, RetryPolicy
from weft.topics import Namespace, check_workflow_id

if TYPE_CHECKING:
    from weft.workflow._definition import Workflow

In = TypeVar("In")
Out = TypeVar("Out")
Out_co = TypeVar("Out_co", covariant=True)

_ID_LENGTH_MAX = 255
_HASH_DIGITS = 16


class Child(Generic[In, Out_co]):
    """What `fulfil.options(...)` and `workflow.child("order", ...)` give: `ctx.execute_child` starts it.

    `id` is the child's workflow ID; without one it is made from the parent's. `timeout` bounds each of its runs.
    `retry` starts it again, as a new run, when it fails or times out; without it, it is run once. `parent_close` says
    what becomes of it when the parent's run ends, however that comes about: `terminate`, `cancel`, or `abandon`, which
    leaves it alone. `namespace` is where it runs (on the same log, by that namespace's workers); without one, the
    parent's. `version` is the version of its code; without one it is the parent's, where its workers have that.
    """

    def __init__(
        self,
        workflow: Workflow[In, Out_co] | str,
        *,
        id: str = "",
        timeout: timedelta | float | None = None,
        retry: Retry | None = None,
        parent_close: ParentClose = "terminate",
        namespace: str = "",
        version: str = "",
    ) -> None:
        """Raises UsageError for what cannot be."""
        if id:
            check_workflow_id(id)
        if namespace:
            Namespace(namespace)
        if parent_close not in get_args(ParentClose):
            raise UsageError(
                f"parent_close={parent_close!r} says nothing: give 'terminate', 'cancel' or 'abandon'"
            )
        if isinstance(workflow, str) and not workflow:
            raise UsageError("a child that is called by its name needs one")
        self.workflow = workflow
        self.name = workflow if isinstance(workflow, str) else workflow.name
        self.id = id
        self.timeout_ms = 0 if timeout is None else to_ms(timeout, "timeout")
        self.policy: RetryPolicy = (
            ONE_ATTEMPT if retry is None else policy_of(retry, f"child {self.name}")
        )
        self.parent_close = parent_close
        self.namespace = namespace
        self.version = version

    def __repr__(self) -> str:
        return f"<child {self.name}>"

    def with_id(self, id: str) -> Child[In, Out_co]:
        """The same under this ID."""
        check_workflow_id(id)
        other = copy.copy(self)
        other.id = id
        return other

    def encode_input(self, value: object) -> Payload:
        """The input as JSON, refused with UsageError when the workflow could not take it."""
        if isinstance(self.workflow, str):
            return encode_payload(value)
        return self.workflow.encode_input(value)

    @property
    def decode_result(self) -> Callable[[Payload], Out_co]:
        """From the result's JSON to the declared type; plain JSON when only its name is known."""
        return decoder(Any) if isinstance(self.workflow, str) else self.workflow.decode_result

    def id_of(self, parent_id: str, run_id: str, number: int) -> str:
        """Its workflow ID: the same in every replay, and of no other child of any run of the parent."""
        if self.id:
            return self.id
        end = f"/{run_id[-8:]}-{number}"
        if len(parent_id) + len(end) > _ID_LENGTH_MAX:
            digest = hashlib.sha256(parent_id.encode()).hexdigest()[:_HASH_DIGITS]
            parent_id = f"{parent_id[: _ID_LENGTH_MAX - len(end) - _HASH_DIGITS - 1]}~{digest}"
        return parent_id + end


@overload
def child(
    workflow: Workflow[In, Out],
    *,
    id: str = ...,
    timeout: timedelta | float | None = ...,
    retry: Retry | None = ...,
    parent_close: ParentClose = ...,
    namespace: str = ...,
    version: str = ...,
) -> Child[In, Out]: ...
@overload
def child(
    workflow: str,
    *,
    id: str = ...,
    timeout: timedelta | float | None = ...,
    retry: Retry | None = ...,
    parent_close: ParentClose = ...,
    namespace: str = ...,
    version: str = ...,
) -> Child[Any, Any]: ...
def child(
    workflow: Any,
    *,
    id: str = "",
    timeout: timedelta | float | None = None,
    retry: Retry | None = None,
    parent_close: ParentClose = "terminate",
    namespace: str = "",
    version: str = "",
) -> Child[Any, Any]:
    """A workflow as a child, also by its name alone: `workflow.child("invoice", namespace="billing")`."""
    return Child(
        workflow,
        id=id,
        timeout=timeout,
        retry=retry,
        parent_close=parent_close,
        namespace=namespace,
        version=version,
    )


def to_child(workflow: object) -> Child[Any, Any]:
    """Whatever may be given to `execute_child`. Raises UsageError for everything else."""
    from weft.workflow._definition import Workflow  # noqa: PLC0415  # which needs the context, which needs this

    if isinstance(workflow, Child):
        return workflow
    if isinstance(workflow, Workflow | str):
        return Child(workflow)
    raise UsageError(
        f"{workflow!r} is no workflow: decorate it with @workflow.define, or call one by its name"
    )
