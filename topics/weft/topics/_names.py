"""Names of topics and groups, and what may be a name: of a namespace, a task queue, a workflow."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from weft.errors import UsageError

_NAME_LENGTH_MAX = 120
"""Kafka takes 249 characters for a topic; `<namespace>.tasks.<queue>` is the longest of ours."""
_WORKFLOW_ID_LENGTH_MAX = 255

_NAMESPACE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_QUEUE = re.compile(r"[A-Za-z0-9_-]+")
_NOT_IN_A_WORKFLOW_ID = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_TASKS = ".tasks."
_TAKEN_ENDINGS = (".tasks", ".activities")
"""`a.tasks` + `.signals` would be the topic of queue `signals` in namespace `a`; groups likewise."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A prefix, and the names that follow from it: one deployment's topics and consumer groups.

    Raises UsageError for a name that Kafka does not take, or whose topics could be those of another namespace.
    """

    name: str
    signals: str = field(init=False, repr=False, compare=False)
    results: str = field(init=False, repr=False, compare=False)
    messages: str = field(init=False, repr=False, compare=False)
    state: str = field(init=False, repr=False, compare=False)
    owners: str = field(init=False, repr=False, compare=False)
    events: str = field(init=False, repr=False, compare=False)
    deadletters: str = field(init=False, repr=False, compare=False)
    queries: str = field(init=False, repr=False, compare=False)
    replies: str = field(init=False, repr=False, compare=False)
    workflow_group: str = field(init=False, repr=False, compare=False)
    """The consumer group of the workflow workers."""

    def __post_init__(self) -> None:
        _check_namespace(self.name)
        for kind in (
            "signals",
            "results",
            "messages",
            "state",
            "owners",
            "events",
            "deadletters",
            "queries",
            "replies",
        ):
            object.__setattr__(self, kind, f"{self.name}.{kind}")
        object.__setattr__(self, "workflow_group", f"{self.name}.workflows")

    def tasks(self, queue: str) -> str:
        """The topic of this task queue. Raises UsageError when `queue` cannot be part of a topic's name."""
        _check_queue(queue)
        return f"{self.name}{_TASKS}{queue}"

    def activity_group(self, queue: str) -> str:
        """The consumer group of the activity workers of this task queue. Raises UsageError like `tasks`."""
        _check_queue(queue)
        return f"{self.name}.activities.{queue}"

    def queue_of(self, topic: str) -> str | None:
        """The task queue whose topic this is; None when it is another topic, or of another namespace."""
        prefix = f"{self.name}{_TASKS}"
        queue = topic.removeprefix(prefix)
        return queue if queue != topic and _QUEUE.fullmatch(queue) else None


def check_workflow_id(workflow_id: str) -> None:
    """Raises UsageError, with the reason, for what cannot be a workflow's ID."""
    if not workflow_id:
        raise UsageError("A workflow ID must not be empty.")
    if len(workflow_id) > _WORKFLOW_ID_LENGTH_MAX:
        raise UsageError(
            f"The workflow ID {workflow_id[:40]!r}... has {len(workflow_id)} characters; "
            f"{_WORKFLOW_ID_LENGTH_MAX} is the most. Put long data into the input instead."
        )
    found = _NOT_IN_A_WORKFLOW_ID.search(workflow_id)
    if found:
        raise UsageError(
            f"The workflow ID {workflow_id!r} has the character {found.group()!r} at position {found.start()}; "
            "control characters and lone surrogates are not allowed."
        )


def _check_namespace(name: str) -> None:
    if not _NAMESPACE.fullmatch(name):
        raise UsageError(
            f"The namespace {name!r} cannot begin the names of Kafka topics: "
            "use letters, digits, `-` and `_`, in parts that single dots separate."
        )
    if len(name) > _NAME_LENGTH_MAX:
        raise UsageError(
            f"The namespace {name[:40]!r}... has {len(name)} characters; {_NAME_LENGTH_MAX} is the most."
        )
    if f".{name}".endswith(_TAKEN_ENDINGS):
        raise UsageError(
            f"The namespace {name!r} ends in a word that other namespaces' topics or groups have there. "
            "Call it something else than `tasks` or `activities`."
        )


def _check_queue(queue: str) -> None:
    if not _QUEUE.fullmatch(queue):
        raise UsageError(
            f"The task queue {queue!r} cannot end the name of a Kafka topic: use letters, digits, `-` and `_`, no dots."
        )
    if len(queue) > _NAME_LENGTH_MAX:
        raise UsageError(
            f"The task queue {queue[:40]!r}... has {len(queue)} characters; {_NAME_LENGTH_MAX} is the most."
        )
