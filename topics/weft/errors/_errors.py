"""The error classes; see the package's docstring for how the families differ."""

from __future__ import annotations


class WeftError(Exception):
    """Root of every error that Weft raises on purpose. They all survive pickling."""

    def __reduce__(self) -> tuple[object, ...]:
        return (_remake, (self.__class__, self.args, self.__dict__))


def _remake(cls: type[WeftError], args: tuple[object, ...], state: dict[str, object]) -> WeftError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(WeftError):
    """The caller's mistake: a bad name, input or option. Raised at once, before anything is written."""


class SignalPayloadError(UsageError):
    """A signal's payload is not of the type that the workflow receives it as; raised at the receive call.

    Anybody may send a signal, so a workflow may catch this and wait for the next one; uncaught, it fails the run.
    `payload` is the plain JSON value that came (None where that cannot be read).
    """

    def __init__(
        self, message: str, *, signal: str, signal_id: str = "", payload: object = None
    ) -> None:
        super().__init__(message)
        self.signal = signal
        self.signal_id = signal_id
        self.payload = payload


class TurnLimitError(WeftError):
    """A workflow's code does not come to rest: more steps or commands than one turn may have. The run is blocked."""


class TurnTimeoutError(TurnLimitError):
    """A workflow's code kept its worker's thread to itself for too long. The run is blocked, not failed."""


class PayloadTooLargeError(UsageError):
    """An input, a result or a signal is larger than a record takes, and there is no payload store to put it in."""


class PayloadError(WeftError):
    """A payload that lies in the payload store cannot be had, or cannot be put there. Names its URL."""


class PayloadDecodeError(PayloadError):
    """An encoded payload cannot be decoded: a codec or a key is missing, or it was changed. Names key and workflow."""


class InvariantViolation(WeftError):
    """The log or our own code is broken. Never handled: the partition stops instead of guessing."""


class DeadlineError(WeftError, TimeoutError):
    """A bounded wait of the client ended first. What was written before stays written."""


class UnknownWorkflowError(WeftError):
    """No workflow with this ID is on the log (never started, or purged)."""


class UnknownDeadLetterError(WeftError):
    """No dead letter at this place (never there, or its time is over)."""


class RefusedError(WeftError):
    """The workflow's owner did not do what was asked: the run has ended, or has not ended yet. Says which."""


class QueryError(WeftError):
    """A workflow's code cannot answer a query: there is no such handler, or the value or the answer cannot be."""


class UpdateRejectedError(WeftError):
    """A workflow's code did not let an update pass; nothing of it is in the history.

    `reason` is what the validator said, or why it was not asked: no such update, or a value of another type. `type` is
    the name of the exception that the validator raised.
    """

    def __init__(
        self,
        message: str,
        *,
        update: str = "",
        update_id: str = "",
        reason: str = "",
        type: str = "",
    ) -> None:
        super().__init__(message)
        self.update = update
        self.update_id = update_id
        self.reason = reason
        self.type = type


class AlreadyStartedError(WeftError):
    """A workflow with this ID is running and the start asked to fail in that case."""

    def __init__(self, message: str, *, run_id: str = "") -> None:
        super().__init__(message)
        self.run_id = run_id


class Failure(WeftError):
    """A failure that travels through history: raise it in an activity or a workflow to fail on purpose.

    `type` is the name that retry policies and callers match on (default: the class's name), `details` any JSON value,
    `non_retryable=True` ends an activity at this attempt whatever its policy says.
    """

    def __init__(
        self,
        message: str = "",
        *,
        type: str = "",
        details: object = None,
        non_retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type or self.__class__.__name__
        self.details = details
        self.non_retryable = non_retryable


class ActivityError(Failure):
    """An activity failed for good; raised where the workflow awaits it.

    `type` is the name of the exception that the activity raised, so `error.is_a(CardDeclined)` tells which it was.
    """

    def __init__(
        self,
        message: str,
        *,
        activity: str,
        attempts: int,
        type: str,
        details: object = None,
        non_retryable: bool = False,
    ) -> None:
        super().__init__(message, type=type, details=details, non_retryable=non_retryable)
        self.activity = activity
        self.attempts = attempts

    def is_a(self, error_type: type[BaseException]) -> bool:
        """Whether the activity failed with this exception class (compared by name: it ran in another process)."""
        return self.type == error_type.__name__


class ChildWorkflowError(Failure):
    """A child workflow did not complete; raised where its parent awaits it.

    `status` says how it ended: `failed`, `cancelled`, `terminated`, `timed_out`, or `not_started` when there was no run
    of it at all. `type` is the name of the exception that failed it, so `error.is_a(CardDeclined)` tells which it was;
    what caused that is chained below. `attempts` counts the runs that its retry policy allowed.
    """

    def __init__(
        self,
        message: str,
        *,
        workflow: str,
        workflow_id: str,
        run_id: str,
        namespace: str,
        status: str,
        attempts: int,
        type: str,
        details: object = None,
        non_retryable: bool = False,
    ) -> None:
        super().__init__(message, type=type, details=details, non_retryable=non_retryable)
        self.workflow = workflow
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.namespace = namespace
        self.status = status
        self.attempts = attempts

    def is_a(self, error_type: type[BaseException]) -> bool:
        """Whether the child failed with this exception class (compared by name: it ran elsewhere)."""
        return self.type == error_type.__name__


class SignalNotDeliveredError(WeftError):
    """A workflow's signal to another one was not taken: there is no such workflow, or it has ended. Says which."""


class HeartbeatTimeoutError(WeftError, TimeoutError):
    """An activity's code did not call `activity.heartbeat` in time. An attempt's failure, retried like any other."""


class LeaseLostError(WeftError):
    """One attempt after another was lost with the worker that ran it. An attempt's failure."""


class ProcessDiedError(WeftError):
    """The process of an activity with `process=True` ended before its function did. An attempt's failure, retried."""


class WorkflowFailedError(Failure):
    """Raised by `handle.result()` when the run did not complete.

    `status` is `failed`, `cancelled`, `terminated` or `timed_out`; `type` names the exception of a failed run.
    """

    def __init__(
        self,
        message: str,
        *,
        workflow_id: str,
        run_id: str,
        status: str,
        type: str,
        details: object = None,
    ) -> None:
        super().__init__(message, type=type, details=details)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.status = status


class UpdateFailedError(Failure):
    """Raised by `handle.update()` when an update was taken up and failed: its handler raised.

    `type` is the name of what it raised, or `WorkflowEnded` when the run ended before the handler was done.
    """

    def __init__(
        self,
        message: str,
        *,
        update: str,
        update_id: str,
        workflow_id: str,
        type: str,
        details: object = None,
    ) -> None:
        super().__init__(message, type=type, details=details)
        self.update = update
        self.update_id = update_id
        self.workflow_id = workflow_id


class NondeterminismError(WeftError):
    """Replayed code asked for something else than its history holds; the run is blocked, not failed."""

    def __init__(
        self, message: str, *, event_id: int = 0, expected: str = "", actual: str = ""
    ) -> None:
        super().__init__(message)
        self.event_id = event_id
        self.expected = expected
        self.actual = actual


class DeterminismError(WeftError):
    """Workflow code did what no replay repeats: it read a clock, drew a number, opened a file or a connection.

    Raised where it did so, instead of that. The run is blocked, not failed, also when the code catches this: with the
    code mended it goes on. `name` is what was used, `rule` the code under which `weft lint` reports it, `line` where.
    """

    def __init__(self, message: str, *, name: str = "", rule: str = "", line: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.rule = rule
        self.line = line


class LogError(WeftError):
    """The log could not do what was asked. `retriable`: the same call may succeed later."""

    retriable = False


class LogUnavailableError(LogError):
    """The broker or the file cannot be reached within the time given."""

    retriable = True


class LogFullError(LogUnavailableError):
    """The disk under the log is full. Nothing was written, nothing is lost: whoever waits for space goes on then."""


class TopicError(LogError):
    """A topic is missing, or has the wrong partition count or policy. Says how to mend it."""


class RecordTooLargeError(LogError):
    """A record is larger than its topic takes; refused before it was produced."""


class FencedError(LogError):
    """Another owner took over: this one is a zombie and gives its partitions up. Normal, not a fault."""


class CommitUnknownError(LogError):
    """A commit neither succeeded nor failed in time. The producer is dropped and its partitions rebuilt."""


class CorruptRecordError(LogError):
    """A record cannot be understood."""

    def __init__(self, topic: str, partition: int, offset: int, why: str) -> None:
        super().__init__(f"The record at {topic}-{partition}@{offset} cannot be understood: {why}")
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.why = why
