"""What must hold of every run of the simulation, whatever went wrong in it. Each check returns what it found wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from tests.simulation.family_checks import family_problems
from tests.simulation.histories import Histories, RunHistory
from tests.simulation.host import EPOCH_S
from tests.simulation.workflows import NEWS, NEWS_PARTITIONS, Odds, add_together, chain
from tests.simulation.world import World
from weft.codec import (
    MalformedError,
    decode_messages,
    decode_payload,
    decode_results,
    decode_signals,
    decode_state,
    decode_task,
    encode,
)
from weft.core import rebuild
from weft.errors import InvariantViolation, WeftError
from weft.records import (
    ENDED,
    ENDINGS,
    NULL,
    ActivityCancelled,
    ActivityCompleted,
    ActivityDispatched,
    ActivityFailed,
    ActivityLost,
    ActivityRetryScheduled,
    ActivityScheduled,
    Event,
    ForwardedRecord,
    Head,
    LifecycleEvent,
    Page,
    Payload,
    Progress,
    RecordDeferred,
    RecordPublished,
    SignalReceived,
    TimerFired,
    TimerStarted,
    UpdateAccepted,
    UpdateCompleted,
    UpdateFailed,
    WorkflowCompleted,
    WorkflowPatched,
    WorkflowStarted,
    chain_of,
    run_number,
)
from weft.topics import check_workflow_id, partition_of
from weft.worker._answers import LIFECYCLE

_SHOWN_MAX = 20


def problems_of(world: World, histories: Histories) -> list[str]:
    """Everything that is wrong, at the end of a run."""
    found = [*world.problems, *world.recorder.problems, *world.facts.surprises, *histories.problems]
    checks = (
        _histories, _inline_order, _timers, _signals, _updates, _tasks, _lifecycle, _expectations, _promises,
        _inputs, _leftovers, _progress, _memory, _custom_status, _patches, _published, family_problems,
    )  # fmt: skip
    for check in checks:
        found += check(world, histories)
    return found[:_SHOWN_MAX]


def _histories(_world: World, histories: Histories) -> Iterator[str]:
    """Every history folds, activity results belong to the attempt that counts, and everything has ended."""
    for run in histories.runs.values():
        events = run.events()
        try:
            rebuild(run.workflow_id, events)
        except (WeftError, KeyError) as error:
            yield f"{_name(run)}: its history does not fold: {type(error).__name__}: {error}"
        yield from _attempts(run, events)
        if run.status not in ENDED and not (run.purged or run.replaced):
            yield f"{_name(run)}: it is {run.status} in the end ({run.head.reason if run.head else ''})"


def _attempts(run: RunHistory, events: list[Event]) -> Iterator[str]:
    attempts: dict[int, int] = {}
    for event in events:
        match event:
            case ActivityScheduled():
                attempts[event.activity_id] = 1
            case ActivityRetryScheduled():
                if attempts.get(event.activity_id) != event.attempt:
                    yield f"{_name(run)}: event {event.event_id} retries an attempt that does not count"
                attempts[event.activity_id] = event.attempt + 1
            case ActivityLost():
                if attempts.get(event.activity_id) != event.attempt:
                    yield f"{_name(run)}: event {event.event_id} loses an attempt that does not count"
                attempts[event.activity_id] = event.attempt + 1
            case ActivityCompleted() | ActivityFailed():
                if attempts.pop(event.activity_id, None) != event.attempt:
                    yield f"{_name(run)}: event {event.event_id} is the result of an attempt that does not count"
            case ActivityCancelled():
                attempts.pop(event.activity_id, None)
            case _:
                pass


def _inline_order(_world: World, histories: Histories) -> Iterator[str]:
    """What follows from the result of an inline activity is not run before that result is durable."""
    for run in histories.runs.values():
        inline: set[int] = set()
        kept_s: dict[int, float] = {}
        known_s = 0.0
        for event in run.events():
            if isinstance(event, RecordDeferred) and event.source == "results":
                kept_s[decode_results(event.record).activity_id] = run.decided_s[event.event_id]
            if isinstance(event, ActivityScheduled) and event.inline:
                if event.activity != add_together.name:
                    inline.add(event.activity_id)
                began_s = Odds.began_s.get(f"{run.run_id}/{event.activity_id}/1")
                if began_s is not None and began_s < known_s:
                    yield f"{_name(run)}: activity {event.activity_id} ran before the result before it was durable"
            elif isinstance(event, ActivityCompleted) and event.activity_id in inline:
                known_s = kept_s.get(event.activity_id, run.decided_s[event.event_id])


def _timers(world: World, histories: Histories) -> Iterator[str]:
    """None fires before its time by its owner's clock, nor earlier than the clocks were wrong by."""
    for run in histories.runs.values():
        due: dict[int, int] = {}
        for event in run.events():
            if isinstance(event, TimerStarted):
                due[event.timer_id] = event.due_ms
            elif isinstance(event, TimerFired):
                due_ms = due.pop(event.timer_id)
                fired_s = run.decided_s[event.event_id]
                earliest_s = due_ms / 1000 - EPOCH_S - world.clock_ahead_s_max
                if event.time_ms < due_ms or fired_s < earliest_s - 0.002:
                    yield f"{_name(run)}: timer {event.timer_id} fired early"


def _signals(world: World, histories: Histories) -> Iterator[str]:
    """Each ID once a run, and taken by one run of a chain; what was confirmed is there."""
    received: set[tuple[str, str]] = set()
    for run in histories.runs.values():
        events = run.events()
        ids = [event.signal_id for event in events if isinstance(event, SignalReceived)]
        started = events[0]
        assert isinstance(started, WorkflowStarted), "every history begins with it"
        received.update((run.workflow_id, signal_id) for signal_id in (*ids, *started.signal_ids))
        for signal_id in {*ids} & {*started.signal_ids}:
            yield f"{_name(run)}: signal {signal_id} was taken by a former run of the chain"
        yield from (
            f"{_name(run)}: signal {signal_id} was applied {count} times"
            for signal_id, count in Counter(ids).items()
            if count > 1 and signal_id
        )
    for workflow_id, signal_id in world.facts.signalled:
        if (workflow_id, signal_id) not in received:
            yield f"{workflow_id}: signal {signal_id} was confirmed and is in no history"


def _updates(world: World, histories: Histories) -> Iterator[str]:
    """Each ID is taken up once and ends once; what a user was told of it is what the history says."""
    answers: dict[tuple[str, str], object] = {}
    for run in histories.runs.values():
        yield from _answers(run, answers)
    for workflow_id, update_id, answer in world.facts.updated:
        if answers.get((workflow_id, update_id)) != answer:
            yield f"{workflow_id}: update {update_id} was answered with {answer}, and its history says otherwise"
    for rejected in world.facts.rejected:
        if rejected in answers:
            yield f"{rejected[0]}: update {rejected[1]} was called rejected, and is in its history"


def _answers(run: RunHistory, answers: dict[tuple[str, str], object]) -> Iterator[str]:
    """Add what came of this run's updates."""
    under_way: set[str] = set()
    for event in run.events():
        if isinstance(event, UpdateAccepted):
            if (run.workflow_id, event.update_id) in answers:
                yield f"{_name(run)}: update {event.update_id} was taken up twice"
            answers[run.workflow_id, event.update_id] = None
            under_way.add(event.update_id)
        elif isinstance(event, UpdateCompleted | UpdateFailed):
            if event.update_id not in under_way:
                yield f"{_name(run)}: update {event.update_id} ended and was not under way"
            under_way.discard(event.update_id)
            answers[run.workflow_id, event.update_id] = (
                decode_payload(event.result)
                if isinstance(event, UpdateCompleted)
                else event.failure.type
            )
    if run.status == "completed" and under_way:
        yield f"{_name(run)}: it did not wait for its updates {sorted(under_way)}"


def _tasks(world: World, histories: Histories) -> Iterator[str]:
    """One task for each dispatch, one dispatch for each task."""
    wanted: set[tuple[str, int, int]] = set()
    spared: set[tuple[str, int]] = set()
    replaced = set()
    for run in histories.runs.values():
        wanted |= _dispatches(run)
        spared |= _given_up(run)
        if (
            run.replaced
        ):  # its last turn, and the start of the next run, were one transaction: one head
            replaced.add(run.run_id)
    tasks: Counter[tuple[str, int, int]] = Counter()
    for record in world.recorder.facts(world.namespace.tasks("default")):
        task = decode_task(record.value)
        tasks[task.run_id, task.activity_id, task.attempt] += 1
    yield from (f"task {key} was written {n} times" for key, n in tasks.items() if n > 1)
    yield from (
        f"task {key} belongs to no event" for key in set(tasks) - wanted if key[0] not in replaced
    )
    for key in wanted - set(tasks):
        if key[:2] not in spared:
            yield f"task {key} was never written"


def _dispatches(run: RunHistory) -> set[tuple[str, int, int]]:
    """(run ID, activity ID, attempt) of all attempts that went to the queue."""
    found: set[tuple[str, int, int]] = set()
    queued: set[int] = set()
    for event in run.events():
        if isinstance(event, ActivityScheduled) and not event.inline:
            queued.add(event.activity_id)
            found.add((run.run_id, event.activity_id, 1))
        elif isinstance(event, ActivityDispatched) and event.activity_id in queued:
            found.add((run.run_id, event.activity_id, event.attempt))
        elif isinstance(event, ActivityLost) and event.activity_id in queued:
            found.add((run.run_id, event.activity_id, event.attempt + 1))
    return found


def _given_up(run: RunHistory) -> set[tuple[str, int]]:
    """(run ID, activity ID) of what may never have been dispatched: given up in the very turn that scheduled it."""
    last_s = run.decided_s[max(run.raw)]
    return {
        (run.run_id, event.activity_id)
        for event in run.events()
        if isinstance(event, ActivityCancelled)
        or (
            isinstance(event, ActivityScheduled)
            and run.status in ENDED
            and run.decided_s[event.event_id] == last_s
        )
    }


def _lifecycle(world: World, histories: Histories) -> Iterator[str]:
    """What is published is what happened, once."""
    lifecycle = [
        msgspec.json.decode(record.value or b"", type=LifecycleEvent)
        for record in world.recorder.facts(world.namespace.events)
    ]
    published = Counter(event.id for event in lifecycle)
    happened = {
        f"{run.run_id}/{event.event_id}"
        for run in histories.runs.values()
        for event in run.events()
        if type(event) in LIFECYCLE
    }
    yield from _continued(lifecycle, histories)
    happened.update(event.id for event in lifecycle if _is_overwritten(event, histories))
    replaced = {
        run.run_id: len(run.raw)
        for run in histories.runs.values()
        if run.replaced and not run.continued
    }
    for key in list(published):
        run_id, _, event_id = key.partition("/")
        if run_id in replaced and int(event_id) > replaced[run_id]:
            happened.add(
                key
            )  # its termination, which only the next run's head would have overwritten
            del replaced[run_id]
    yield from (f"run {run_id} was replaced, and nothing was published" for run_id in replaced)
    yield from (f"event {key} was published {n} times" for key, n in published.items() if n > 1)
    yield from (
        f"event {key} was published and did not happen" for key in set(published) - happened
    )
    yield from (f"event {key} happened and was not published" for key in happened - set(published))


def _is_overwritten(event: LifecycleEvent, histories: Histories) -> bool:
    """Of a run whose end, or all of it, was overwritten by the run that continues it, in the same transaction."""
    run_id, _, event_id = event.id.partition("/")
    run, last = histories.runs.get(run_id), histories.last_of_chain(run_id)
    if run is None:
        return last is not None and run_number(run_id) < run_number(last.run_id)
    return run.continued and int(event_id) > len(run.raw)


def _continued(lifecycle: list[LifecycleEvent], histories: Histories) -> Iterator[str]:
    """Each run of a chain but the last is told to be continued, once."""
    told = Counter(
        event.id.partition("/")[0] for event in lifecycle if event.type.endswith(".continued")
    )
    expected = {
        f"{chain_of(run.run_id)}.{number}" if number > 1 else chain_of(run.run_id)
        for run in histories.runs.values()
        for number in range(1, run_number(run.run_id))
    }
    if told != Counter(expected):
        odd = {*(told - Counter(expected)), *(Counter(expected) - told)}
        yield f"runs were told to be continued too often, or not: {sorted(odd)[:5]}"


def _expectations(world: World, histories: Histories) -> Iterator[str]:
    """Every workflow came to the end that its user can foretell."""
    for workflow_id, (status, check) in world.facts.expected.items():
        run_id = histories.current.get(workflow_id)
        if run_id is None:
            yield f"{workflow_id}: it is gone, and should be {status}"
            continue
        run = histories.runs[run_id]
        result = _result(run)
        if run.status != status or (status == "completed" and not check(result)):
            yield f"{_name(run)}: it is {run.status} with {str(result)[:200]}, and should be {status}"


def _promises(world: World, histories: Histories) -> Iterator[str]:
    """What users were told is what the log says."""
    facts = world.facts
    for workflow_id, run_id in facts.started:
        if histories.last_of_chain(run_id) is None:
            yield f"{workflow_id}: the start of run {run_id} was confirmed and is not on the log"
    for workflow_id, run_id, result in facts.results:
        run = histories.last_of_chain(run_id)
        if run is None or run.status != "completed" or _result(run) != result:
            yield f"{workflow_id}: its user was told {str(result)[:100]}, which run {run_id} did not give"
    for workflow_id, run_id, status in facts.ended:
        run = histories.last_of_chain(run_id)
        if run is None or run.status != status:
            yield f"{workflow_id}: its user was told that run {run_id} is {status}"
    for workflow_id, run_id in facts.purged:
        if histories.current.get(workflow_id) == run_id:
            yield f"{workflow_id}: run {run_id} was purged and is still there"


def _inputs(world: World, _histories: Histories) -> Iterator[str]:
    """Every record that came in was taken: forwarded once, put aside once, or understood."""
    names = world.namespace
    aside = Counter(_origin(record.headers) for record in world.recorder.facts(names.deadletters))
    moved: Counter[tuple[str, int, int]] = Counter()
    for record in world.recorder.facts(names.messages):
        message = decode_messages(record.value)
        if not isinstance(message, ForwardedRecord):
            continue
        moved[message.topic, message.partition, message.offset] += 1
    for record in world.recorder.facts(names.signals):
        place = (record.topic, record.partition, record.offset)
        forwards, deadletters = _ways(record.key, record.value, record.partition, world)
        if moved[place] != forwards:
            yield f"{place} was forwarded {moved[place]} times, not {forwards}"
        if (deadletters and aside[place] != 1) or aside[place] > 1:
            yield f"{place} was put aside {aside[place]} times"
    yield from world.lag()


def _ways(key: bytes | None, value: bytes | None, partition: int, world: World) -> tuple[int, bool]:
    """How often it must be forwarded, and whether it must be put aside."""
    try:
        workflow_id = (key or b"").decode()
        check_workflow_id(workflow_id)
        decode_signals(value)
    except (MalformedError, UnicodeDecodeError, WeftError):
        return 0, True
    return int(partition_of(workflow_id.encode(), world.partition_count) != partition), False


def _origin(headers: tuple[tuple[str, bytes], ...]) -> tuple[str, int, int]:
    named = dict(headers)
    return (
        named["weft-topic"].decode(),
        int(named["weft-partition"]),
        int(named["weft-offset"]),
    )


def _leftovers(_world: World, histories: Histories) -> Iterator[str]:
    """No page outlives its run, and no progress its activity."""
    for partition, live in histories.live_keys.items():
        for key, value in live.items():
            state = decode_state(value)
            if isinstance(state, Progress):  # in the end nothing is open
                yield f"state-{partition}: the progress {key!r} belongs to no open activity"
            if not isinstance(state, Page):
                continue
            head = live.get(key.partition(b"\0")[0])
            owner = decode_state(head) if head is not None else None
            if (
                not isinstance(owner, Head)
                or owner.run_id != state.run_id
                or state.number >= owner.page_count
            ):
                yield f"state-{partition}: page {key!r} belongs to no run"


def _progress(world: World, histories: Histories) -> Iterator[str]:
    """Every attempt is told what the log says of the progress, and none begins behind where a former one began."""
    said: dict[tuple[str, int], list[tuple[float, Payload]]] = {}
    for record in world.recorder.facts(world.namespace.state):
        state = decode_state(record.value) if record.value is not None else None
        if isinstance(state, Progress):
            assert record.decided_s is not None, "a fact"
            entries = said.setdefault((state.run_id, state.activity_id), [])
            entries.append((record.decided_s, state.details))
    for record in world.recorder.facts(world.namespace.tasks("default")):
        task = decode_task(record.value)
        assert record.decided_s is not None, "a fact"
        run = histories.runs.get(task.run_id)
        if run is None or run.replaced or _is_over(run, task.activity_id, record.decided_s):
            continue
        entries = said.get((task.run_id, task.activity_id), [])
        known = [details for decided_s, details in entries if decided_s <= record.decided_s]
        wanted = bytes(known[-1] if known else NULL)
        if bytes(task.heartbeat_details) != wanted:
            yield (
                f"attempt {task.attempt} of {task.activity}, run {task.run_id}, is told "
                f"{bytes(task.heartbeat_details)!r}; the log says {wanted!r}"
            )
    for activity, begun in Odds.climbed.items():
        firsts = [first for _attempt, first in sorted(begun.items())]
        if firsts != sorted(firsts):
            yield f"activity {activity} went back: its attempts began at {begun}"


def _is_over(run: RunHistory, activity_id: int, decided_s: float) -> bool:
    """Whether the activity, or its run, had ended by then: in the turn that brought an attempt out, as it may be."""
    return any(
        run.decided_s[event.event_id] <= decided_s
        and (
            isinstance(event, ENDINGS)
            or (
                isinstance(event, ActivityCompleted | ActivityFailed | ActivityCancelled)
                and event.activity_id == activity_id
            )
        )
        for event in run.events()
    )


def _memory(world: World, histories: Histories) -> Iterator[str]:
    """What the owners hold is what a stranger reads from the log, compacted or not."""
    for name, partition in world.live_partitions():
        live = histories.live_keys[partition.number]
        heads = {key.decode(): value for key, value in live.items() if b"\0" not in key}
        if set(partition.cells) != set(heads):
            odd = set(partition.cells) ^ set(heads)
            yield f"{name} holds other workflows of partition {partition.number} than the log: {sorted(odd)[:5]}"
            continue
        try:
            cells = partition.cells.items()
        except InvariantViolation as error:
            yield f"{name} cannot read back what it left on the log: {error}"
            continue
        for workflow_id, cell in cells:
            if cell.head is None or encode(cell.head) != heads[workflow_id]:
                yield f"{name} holds another head of {workflow_id} than the log"
    for number, compacted in world.compacted_state().items():
        if compacted != histories.live_keys[number]:
            yield f"state-{number}: what compaction left is not what was written"


def _custom_status(_world: World, histories: Histories) -> Iterator[str]:
    """What a run says of itself is as old as its last head: `chain` says after each step how many are done."""
    for run in histories.runs.values():
        if run.head is None or run.head.workflow != chain.name:
            continue
        events = run.events()[: run.head.event_count]
        done = sum(isinstance(event, ActivityCompleted) for event in events)
        said = decode_payload(run.head.custom_status)
        if (said["done"] if said else 0) != done:
            yield f"{_name(run)}: it says {said} after {done} steps"


def _patches(_world: World, histories: Histories) -> Iterator[str]:
    """A change is recorded once, and before the first step that takes its new way."""
    for run in histories.runs.values():
        ways: list[str] = []
        for event in run.events():
            if isinstance(event, WorkflowPatched):
                ways.append(event.patch_id)
            elif (
                isinstance(event, ActivityScheduled)
                and run.head
                and run.head.workflow == "patching"
            ):
                ways.append(event.activity)
        if ways[:1] == ["inline"] and set(ways[1:]) <= {"add_inline"} and ways.count("inline") == 1:
            continue
        if not set(ways) <= {"add"}:
            yield f"{_name(run)}: it goes several ways: {ways}"


def _published(world: World, histories: Histories) -> Iterator[str]:
    """What runs have published is on the topic once, where its key belongs; and nothing else is."""
    said = Counter(
        (run.run_id, event.publish_id)
        for run in histories.runs.values()
        for event in run.events()
        if isinstance(event, RecordPublished)
    )
    written: dict[str, int] = Counter()
    for record in world.recorder.facts(NEWS):
        assert record.value is not None, "nobody writes tombstones there"
        value = msgspec.json.decode(record.value)
        written[value["run"]] += 1
        if written[value["run"]] != value["number"]:
            yield f"{NEWS}: {value} is record {written[value['run']]} of its run"
        if record.partition != partition_of(record.key or b"", NEWS_PARTITIONS):
            yield f"{NEWS}: {value} is on partition {record.partition}"
    events = Counter(run_id for run_id, _ in said)
    for run_id in {*events, *written}:
        if events[run_id] != written[run_id]:
            yield f"run {run_id} has published {events[run_id]} records; {NEWS} has {written[run_id]} of it"


def _result(run: RunHistory) -> object:
    last = run.events()[-1]
    return decode_payload(last.result, object) if isinstance(last, WorkflowCompleted) else None


def _name(run: RunHistory) -> str:
    return f"{run.workflow_id}, run {run.run_id}"
