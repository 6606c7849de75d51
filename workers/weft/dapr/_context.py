"""What workflows and activities are given, under Dapr's names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from weft import activity, workflow
from weft.activity import Activity, Retry
from weft.errors import UsageError
from weft.workflow import GeneratorContext

if TYPE_CHECKING:
    import asyncio

    from weft.workflow import Machine


NAME = "_weft_dapr_name"
"""The attribute of a function that says under which name it was registered, or is to be."""


ONE_ATTEMPT = Retry(max_attempts=1)
"""What an activity without a policy gets, as there."""


class Known(Protocol):
    """A runtime, as far as the code that it runs is concerned."""

    workflows: dict[str, Any]
    activities: dict[str, Activity[..., Any]]


@dataclass(frozen=True)
class RetryPolicy:
    """How often a failed activity or child is tried again, and after what time; no chance is in it."""

    first_retry_interval: timedelta
    max_number_of_attempts: int
    backoff_coefficient: float | None = 1.0
    max_retry_interval: timedelta | None = None
    retry_timeout: timedelta | None = None
    """Of an activity: how long all attempts with the pauses between them may take."""

    def to_retry(self) -> Retry:
        """The same in Weft's words. Raises UsageError for what cannot be."""
        return Retry(
            max_attempts=self.max_number_of_attempts,
            initial_interval=self.first_retry_interval,
            backoff_coefficient=self.backoff_coefficient or 1.0,
            max_interval=self.max_retry_interval or timedelta(days=365),
            jitter=0.0,
        )


class WorkflowActivityContext:
    """Who calls an activity."""

    @property
    def workflow_id(self) -> str:
        """The ID of the workflow instance."""
        return activity.info().workflow_id

    @property
    def task_id(self) -> int:
        """The number of this call within the workflow."""
        return activity.info().activity_id


class DaprWorkflowContext(GeneratorContext):
    """What a workflow function is given. Times are UTC, and say so nowhere, as Dapr's do."""

    def __init__(self, machine: Machine, known: Known) -> None:
        super().__init__(machine)
        self._known = known

    @property
    def current_utc_datetime(self) -> datetime:
        """The time of the event that is being handled, without a zone: the same in every replay."""
        return self._now().replace(tzinfo=None)

    @property
    def is_replaying(self) -> bool:
        """True while the history is being repeated. For logging only: decisions must not depend on it."""
        return super().is_replaying

    def is_patched(self, patch_name: str) -> bool:
        """Dapr's name for `patched`."""
        return self.patched(patch_name)

    def call_activity(  # type: ignore[override]
        self, activity: Any, *, input: Any = None, retry_policy: RetryPolicy | None = None
    ) -> asyncio.Future[Any]:
        """Run an activity: a function that was registered, or its name. Without a policy it is tried once."""
        called = self._activity(activity)
        if retry_policy is not None:
            called = called.options(
                retry=retry_policy.to_retry(), schedule_to_close=retry_policy.retry_timeout
            )
        return super().call_activity(called, input)

    def call_child_workflow(  # type: ignore[override]
        self,
        workflow: Any,
        *,
        input: Any = None,
        instance_id: str | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> asyncio.Future[Any]:
        """Run a workflow as a child: a function that was registered, or its name."""
        retry = retry_policy.to_retry() if retry_policy is not None else None
        return super().call_child_workflow(self._child(workflow, retry), input, instance_id)

    def wait_for_external_event(
        self, name: str, *, timeout: datetime | timedelta | float | None = None
    ) -> Any:
        """The next event of that name, in upper or lower case; TimeoutError after `timeout`, or at it."""
        if isinstance(timeout, datetime):
            until = timeout if timeout.tzinfo else timeout.replace(tzinfo=UTC)
            timeout = max(until - self._now(), timedelta())
        return super().wait_for_external_event(event_name(name), timeout=timeout)

    def continue_as_new(self, new_input: Any = None, *, save_events: bool = False) -> NoReturn:
        """End this run, and go on as a new one with this input; nothing after this line is run.

        Events that came and were not waited for go along with `save_events`, and are dropped without.
        """
        super().continue_as_new(new_input, save_events=save_events)

    def _activity(self, wanted: Any) -> Activity[..., Any]:
        name = _registered_name(wanted, "activity")
        return self._known.activities.get(name) or _by_name(name)

    def _child(self, wanted: Any, retry: Retry | None) -> Any:
        name = _registered_name(wanted, "workflow")
        return workflow.child(self._known.workflows.get(name, name), retry=retry)


def event_name(name: str) -> str:
    """Events are the same in upper and lower case."""
    return name.casefold()


def _by_name(name: str) -> Activity[..., Any]:
    """An activity of another process."""

    def remote(input: Any) -> Any:
        raise NotImplementedError

    made: Activity[..., Any] = activity.define(name=name, retry=ONE_ATTEMPT)(remote)
    return made


def _registered_name(wanted: Any, what: str) -> str:
    name = wanted if isinstance(wanted, str) else getattr(wanted, NAME, "")
    if not name:
        raise UsageError(f"{wanted!r} is no {what}: register it with @runtime.{what}")
    return str(name)
