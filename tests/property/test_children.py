"""Children and signals between workflows, under random inputs: the core alone, and owners of two namespaces."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_core import CoreDriver, policies
from tests.unit.worker.families import FAMILY
from tests.unit.worker.family_kit import BILLING, Family
from tests.unit.worker.kit import NAMESPACE, Mode, Served
from weft.codec import decode_head, encode_payload
from weft.core import CancelChild, Command, ScheduleChild, SendSignal
from weft.records import (
    NULL,
    CancelWorkflow,
    ChildCompleted,
    ChildDone,
    ChildFailed,
    ChildRestarted,
    ChildRetryScheduled,
    ChildRunning,
    FailureInfo,
    HistoryEvent,
    ResumeWorkflow,
    SignalDelivered,
    SignalOutcome,
    SignalReceived,
    SignalWorkflow,
    StartWorkflow,
    SuspendWorkflow,
    TerminateWorkflow,
)

Step = tuple[Any, ...]
RUN_ID = "run-1"

# The core.

_ids = st.integers(1, 5)
_statuses = st.sampled_from(("completed", "failed", "timed_out", "cancelled", "terminated"))
_core_steps = st.one_of(
    st.tuples(st.just("child"), policies),
    st.tuples(st.just("child"), policies),
    st.tuples(st.just("running"), _ids, st.integers(-1, 1), st.booleans()),
    st.tuples(st.just("done"), _ids, st.integers(-1, 1), _statuses),
    st.tuples(st.just("done"), _ids, st.just(0), st.just("failed")),
    st.tuples(st.just("cancel_child"), _ids),
    st.tuples(st.just("send")),
    st.tuples(st.just("outcome"), _ids, st.sampled_from(("", "there is no such workflow"))),
    st.tuples(st.just("timer"), st.integers(0, 5000)),
    st.tuples(st.just("advance"), st.integers(0, 20_000)),
    st.tuples(st.just("cancel")),
)
_core_histories = st.tuples(
    st.lists(policies, min_size=1, max_size=3).map(
        lambda all_: [("child", policy) for policy in all_]
    ),
    st.lists(_core_steps, min_size=5, max_size=20),
    st.sampled_from(([], [], [("complete",)], [("terminate",), ("done", 1, 0, "failed")])),
).map(lambda parts: [step for part in parts for step in part])


class ParentDriver(CoreDriver):
    """The same with children and signals to others."""

    def step(self, kind: str, *rest: Any) -> None:
        """What is said of another run of a child, or of another run of this, changes nothing."""
        count = len(self.events)
        if kind in {"running", "done", "cancel_child"} and self.run.children:
            open_ids = list(self.run.children)
            rest = (open_ids[rest[0] % len(open_ids)], *rest[1:])
        child = self.run.children.get(rest[0]) if kind in {"running", "done"} else None
        is_stale = child is None or rest[1] != 0 or child.waiting or rest[2] is False
        super().step(kind, *rest)
        if kind in {"running", "done"} and is_stale:
            assert len(self.events) == count

    def commands(self, kind: str, *rest: Any) -> list[Command] | None:
        match kind, *rest:
            case "child", policy:
                self.command_id += 1
                return [
                    ScheduleChild(
                        self.command_id, "c", f"c-{self.command_id}", NULL, "", 0, policy, "cancel"
                    )
                ]
            case "cancel_child", child_id:
                child = self.run.children.get(child_id)
                asks = child is not None and not child.cancel_requested
                return [CancelChild(child_id)] if asks else []
            case ("send",):
                self.command_id += 1
                return [SendSignal(self.command_id, "other", "go", NULL)]
        return super().commands(kind, *rest)

    def record(self, kind: str, *rest: Any) -> Any:
        match kind, *rest:
            case "running", child_id, offset, is_ours:
                run_id = RUN_ID if is_ours else "run-0"
                return ChildRunning(run_id, child_id, self._attempt(child_id) + offset, "child-run")
            case "done", child_id, offset, status:
                attempt = self._attempt(child_id) + offset
                failure = None if status == "completed" else FailureInfo("Blip")
                return ChildDone(RUN_ID, child_id, attempt, status, "child-run", failure=failure)
            case "outcome", send_id, problem:
                return SignalOutcome(RUN_ID, send_id, problem)
        return super().record(kind, *rest)

    def _attempt(self, child_id: int) -> int:
        child = self.run.children.get(child_id)
        return child.attempt if child else 1


@settings(max_examples=200)
@given(
    _core_histories,
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
)
def test_run_with_children_is_what_its_history_says(steps: list[Step], draws: list[float]) -> None:
    driver = ParentDriver(0, draws)
    for step in steps:
        driver.step(*step)
        for child in driver.run.children.values():
            assert child.attempt <= child.retry.max_attempts
            assert bool(child.due_ms) == child.waiting
            assert not (child.waiting and child.run_id)
    ends = Counter(
        event.child_id for event in driver.events if isinstance(event, ChildCompleted | ChildFailed)
    )
    assert all(count == 1 for count in ends.values()), "a child ends once"
    told = Counter(event.send_id for event in driver.events if isinstance(event, SignalDelivered))
    assert all(count == 1 for count in told.values()), "a signal is answered once"
    waits = {
        (event.child_id, event.attempt + 1): event
        for event in driver.events
        if isinstance(event, ChildRetryScheduled)
    }
    for event in driver.events:
        if isinstance(event, ChildRestarted):
            assert event.time_ms >= waits.pop((event.child_id, event.attempt)).due_ms


# Owners.

PARENTS = ("order-1", "order-2")
CHILDREN = ("c-1", "c-2")
_places = st.sampled_from(({}, {"namespace": BILLING.name}, {"namespace": "nowhere"}))
_options = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(CHILDREN),
        "parent_close": st.sampled_from(("terminate", "cancel", "abandon")),
        "attempts": st.integers(1, 3),
        "timeout": st.just(30),
    },
)
_children = st.sampled_from(
    (("double", 4), ("packing", "box"), ("broken", "ink"), ("patient", None), ("unknown", 1))
)
_first = st.tuples(
    st.just("start"),
    st.just(PARENTS[0]),
    st.sampled_from(("parent", "holding")),
    _children,
    st.sampled_from(({"id": CHILDREN[0]}, {"attempts": 3}, {})),
    st.sampled_from(({}, {"namespace": BILLING.name})),
    st.just(0),
)
_steps = st.one_of(
    st.tuples(
        st.just("start"),
        st.sampled_from(PARENTS),
        st.sampled_from(("parent", "leaving", "holding")),
        _children,
        _options,
        _places,
        st.sampled_from((0, 0, 90_000)),
    ),
    st.tuples(st.just("start"), st.sampled_from(PARENTS), st.just("telling"), st.sampled_from(CHILDREN)),
    st.tuples(st.just("signal"), st.sampled_from((*PARENTS, *CHILDREN)), st.sampled_from(("end", "go"))),
    st.tuples(st.just("do"), st.sampled_from(PARENTS), st.sampled_from(("cancel", "go", "wait", "patience"))),
    st.tuples(st.just("stop"), st.sampled_from((*PARENTS, *CHILDREN)), st.booleans()),
    st.tuples(st.just("hold"), st.sampled_from(PARENTS), st.booleans()),
    st.tuples(st.just("complete"), st.integers(0, 5)),
    st.tuples(st.just("deliver"), st.sampled_from((1, 2))),
    st.tuples(st.just("deliver"), st.sampled_from((1, 2))),
    st.tuples(st.just("advance"), st.sampled_from((1000, 10_000, 60_000))),
    st.tuples(st.just("take_over"), st.integers(0, 4), st.booleans()),
)  # fmt: skip


def send(family: Family, workflow_id: str, record: object) -> None:
    for namespace in (NAMESPACE, BILLING):
        owner = family.of(workflow_id, namespace)
        if workflow_id in owner.partition.cells:
            owner.turn(owner.signals(record, workflow_id))


def start(family: Family, number: int, key: str, workflow: str, *plan: Any) -> None:
    owner = family.of(key)
    value: Any
    timeout_ms = 0
    if workflow == "telling":
        value = [plan[0], ""]
    else:
        (name, argument), options, place, timeout_ms = plan
        value = [name, argument, {**options, **place}]
    request = StartWorkflow(
        workflow, f"r-{number}", encode_payload(value), timeout_ms, "terminate_existing"
    )
    owner.turn(owner.signals(request, key))


def take(family: Family, number: int, step: Step) -> None:
    match step:
        case "start", key, workflow, *plan:
            start(family, number, key, workflow, *plan)
        case "signal", key, name:
            send(family, key, SignalWorkflow(name, encode_payload("complete")))
        case "do", key, what:
            send(family, key, SignalWorkflow("do", encode_payload(what)))
        case "stop", key, is_terminated:
            send(family, key, TerminateWorkflow() if is_terminated else CancelWorkflow())
        case "hold", key, is_held:
            send(family, key, SuspendWorkflow() if is_held else ResumeWorkflow())
        case "complete", which:
            complete(family, which)
        case "deliver", copies:
            family.deliver(copies)
        case "advance", milliseconds:
            for member in family.members.values():
                member.advance(milliseconds)
        case "take_over", which, compacted:
            list(family.members.values())[which].take_over(compacted=compacted)


def complete(family: Family, which: int) -> None:
    """Any task that ever was."""
    for member in family.members.values():
        tasks = member.tasks()
        if tasks:
            task = tasks[which % len(tasks)]
            keys = [
                key for key, cell in member.partition.cells.items() if cell.run_id == task.run_id
            ]
            if keys:
                member.complete(task, 7, keys[0])


def bring_to_an_end(family: Family) -> None:
    for _ in range(12):
        family.deliver()
        for member in family.members.values():
            for workflow_id in list(member.partition.cells):
                end(member, workflow_id)
        if all(
            cell.ended
            for member in family.members.values()
            for cell in member.partition.cells.values()
        ):
            break
    family.deliver()
    for member in family.members.values():
        for workflow_id, cell in member.partition.cells.items():
            assert cell.ended, (workflow_id, cell.status, member.story(workflow_id))


def end(member: Served, workflow_id: str) -> None:
    """Whatever it waits for comes, or it is terminated when nobody has its code."""
    cell = member.partition.cells[workflow_id]
    if cell.status == "suspended":
        member.turn(member.signals(ResumeWorkflow(), workflow_id))
    elif cell.status == "blocked":
        member.turn(member.signals(TerminateWorkflow(), workflow_id))
    elif not cell.ended:
        for task in member.tasks():
            if task.run_id == cell.run_id:
                member.complete(task, 7, workflow_id)
        member.turn(member.signals(CancelWorkflow(), workflow_id))


def check(family: Family) -> None:
    runs: dict[tuple[str, int, int], set[str]] = {}
    for (topic, _), member in family.members.items():
        for _, _, key, value, _ in member.written[topic.replace(".messages", ".state")]:
            if key and value and b"\0" not in key:
                head = decode_head(value)
                if head.parent is not None:
                    parent = head.parent
                    attempt = (parent.run_id, parent.number, parent.attempt)
                    runs.setdefault(attempt, set()).add(head.run_id)
        for workflow_id in member.partition.cells:
            check_history(member.history(workflow_id))
    assert all(len(run_ids) == 1 for run_ids in runs.values()), "a child is run once an attempt"


def check_history(history: list[HistoryEvent]) -> None:
    ends = Counter(
        event.child_id for event in history if isinstance(event, ChildCompleted | ChildFailed)
    )
    assert all(count == 1 for count in ends.values()), "a child ends once"
    ids = Counter(event.signal_id for event in history if isinstance(event, SignalReceived))
    assert all(count == 1 for signal_id, count in ids.items() if signal_id)


@settings(max_examples=60)
@given(_first, st.lists(_steps, min_size=4, max_size=18), st.sampled_from(("live", "compacted")))
def test_families_come_to_an_end_whatever_is_said_twice_or_late(
    first: Step, steps: list[Step], mode: Mode
) -> None:
    family = Family(*FAMILY, mode=mode)
    try:
        for number, step in enumerate((first, *steps)):
            take(family, number, step)
            check(family)
        bring_to_an_end(family)
        check(family)
    finally:
        family.close()
