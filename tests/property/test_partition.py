"""An owned partition under random records, takeovers and deployments.

After every turn (see `tests.unit.worker.kit`) the state that was written gives the live state again, from every record
and from the compacted ones, and everything that a run waits for has been brought out.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.kit import Mode, Served, accepted_reply, ended_reply
from tests.unit.worker.workflows import (
    approval,
    at_once,
    careful,
    collecting,
    copying,
    failing,
    fan_out,
    fulfil,
    inline_and_signal,
    inline_steps,
    sleepy,
)
from weft.codec import encode_payload
from weft.log import LogRecord
from weft.records import (
    ENDINGS,
    ActivityTask,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    AwaitResult,
    CancelWorkflow,
    FailureInfo,
    PurgeWorkflow,
    QueryWorkflow,
    ResetWorkflow,
    ResumeWorkflow,
    SignalReceived,
    SignalWorkflow,
    StartWorkflow,
    SuspendWorkflow,
    TerminateWorkflow,
    UnblockWorkflow,
)

Step = tuple[Any, ...]

WORKFLOWS = (
    approval,
    at_once,
    careful,
    collecting,
    copying,
    failing,
    fan_out,
    fulfil,
    inline_and_signal,
    inline_steps,
    sleepy,
)
INPUTS = {"fulfil": 5, "fan_out": 3, "copying": 9}
KEYS = ("order-1", "order-2")
_NAMES = [workflow.name for workflow in WORKFLOWS]

_keys = st.sampled_from(KEYS)
_numbers = st.integers(0, 30)
_starts = st.tuples(
    st.just("start"),
    _keys,
    st.sampled_from([*_NAMES, "unknown"]),
    st.integers(1, 4),
    st.sampled_from(("fail", "use_existing", "terminate_existing")),
    st.sampled_from((0, 0, 5000)),
)
_records = st.one_of(
    _starts,
    _starts,
    st.tuples(
        st.just("signal"),
        _keys,
        st.sampled_from(("line", "enough", "approval", "more")),
        st.sampled_from(("", "s-1", "s-2")),
    ),
    st.tuples(st.just("complete"), _numbers),
    st.tuples(st.just("complete"), _numbers),
    st.tuples(st.just("fail"), _numbers, st.booleans()),
    st.tuples(st.just("started"), _numbers),
    st.tuples(st.just("held"), _numbers, st.sampled_from((1, 2))),
    st.tuples(st.just("held"), _numbers, st.just(1)),
    st.tuples(st.just("beat"), _numbers, st.sampled_from((1, 2)), st.sampled_from((None, 1, 2))),
    st.tuples(st.just("beat"), _numbers, st.just(1), st.sampled_from((1, 2))),
    st.tuples(st.just("released"), _numbers, st.sampled_from((1, 2)), st.sampled_from((None, 3))),
    st.tuples(st.just("cancel"), _keys),
    st.tuples(st.just("terminate"), _keys),
    st.tuples(st.just("unblock"), _keys),
    st.tuples(st.just("suspend"), _keys),
    st.tuples(st.just("reset"), _keys, st.integers(1, 9)),
    st.tuples(st.just("query"), _keys),
    st.tuples(st.just("resume"), _keys),
    st.tuples(st.just("purge"), _keys),
    st.tuples(st.just("ask"), _keys),
    st.tuples(st.just("garbage"), _keys),
)
_turn = st.one_of(
    st.lists(_records, min_size=1, max_size=5).map(lambda records: ("records", records)),
    st.lists(_records, min_size=1, max_size=5).map(lambda records: ("records", records)),
    st.tuples(st.just("inline"), _numbers),
    st.tuples(st.just("inline"), _numbers),
    st.tuples(st.just("advance"), st.sampled_from((1, 1000, 60_000))),
    st.tuples(st.just("take_over"), st.booleans(), st.booleans()),
)
_first_turn = st.tuples(
    *(
        st.tuples(
            st.just("start"),
            st.just(key),
            st.sampled_from([*_NAMES, *_NAMES, "unknown"]),
            st.just(number),
            st.just("fail"),
            st.sampled_from((0, 0, 0, 90_000)),
        )
        for number, key in enumerate(KEYS)
    )
).map(lambda steps: ("records", list(steps)))
_turns = st.tuples(_first_turn, st.lists(_turn, min_size=3, max_size=12)).map(
    lambda parts: [parts[0], *parts[1]]
)


def key_of(served: Served, task: ActivityTask) -> str:
    """The workflow whose run a task belongs to; gone ones have none."""
    for key, cell in served.partition.cells.items():
        if cell.run_id == task.run_id:
            return key
    return KEYS[0]


def record_of(served: Served, step: Step) -> LogRecord | None:
    reply = accepted_reply(f"q-{len(served.replies)}")
    match step:
        case "start", key, workflow, request, on_conflict, timeout_ms:
            value = encode_payload(INPUTS.get(workflow))
            until = (None, accepted_reply(), ended_reply())[request % 3]
            return served.signals(
                StartWorkflow(
                    workflow, f"request-{request}", value, timeout_ms, on_conflict, until
                ),
                key,
            )
        case "signal", key, name, signal_id:
            return served.signals(SignalWorkflow(name, encode_payload(1), signal_id), key)
        case "cancel", key:
            return served.signals(CancelWorkflow("on purpose", reply), key)
        case "unblock", key:
            return served.signals(UnblockWorkflow(reply), key)
        case "suspend", key:
            return served.signals(SuspendWorkflow("on purpose", reply), key)
        case "resume", key:
            return served.signals(ResumeWorkflow(reply), key)
        case "terminate", key:
            return served.signals(TerminateWorkflow("on purpose", reply), key)
        case "purge", key:
            return served.signals(PurgeWorkflow(reply_to=reply), key)
        case ("query" | "ask") as kind, key:
            asked = AwaitResult(ended_reply("asked"))
            return served.queries(QueryWorkflow("length", reply) if kind == "query" else asked, key)
        case "reset", key, to_event:
            cell = served.partition.cells.get(key)
            run_id, request_id = (cell.run_id if cell else "none"), f"r-{len(served.replies)}"
            return served.signals(ResetWorkflow(run_id, to_event, request_id, "", reply), key)
        case "garbage", key:
            return served.signals(b"{", key)
    return result_record(served, step)


def result_record(served: Served, step: Step) -> LogRecord | None:
    """A result of any task that ever was: most are late."""
    kind, number, *rest = step
    tasks = served.tasks()
    if not tasks:
        return None
    task = tasks[-1 - number % len(tasks)]
    result: Any
    if kind == "complete":
        result = served.completed(task, 7)
    elif kind == "fail":
        failure = FailureInfo("Blip", non_retryable=rest[0])
        result = AttemptFailed(task.run_id, task.activity_id, task.attempt, failure)
    elif kind == "started":
        result = AttemptStarted(task.run_id, task.activity_id, task.attempt, served.now_ms)
    elif kind == "held":
        result = served.started(task, f"lease-{rest[0]}", 50_000)
    elif kind == "beat":
        result = served.heartbeat(task, rest[1], f"lease-{rest[0]}")
    else:
        result = AttemptReleased(
            task.run_id, task.activity_id, task.attempt, f"lease-{rest[0]}", encode_payload(rest[1])
        )
    return served.results(result, key_of(served, task))


def play(served: Served, turns: list[Step]) -> None:
    for turn in turns:
        match turn:
            case "records", steps:
                records = (record_of(served, step) for step in steps)
                served.turn(*(record for record in records if record is not None))
            case "inline", number:
                if served.inline:
                    task = served.inline[-1 - number % len(served.inline)]
                    served.turn_inline(key_of(served, task), served.completed(task, 7))
            case "advance", milliseconds:
                served.advance(milliseconds)
            case "take_over", knows_all, compacted:
                workflows = WORKFLOWS if knows_all else WORKFLOWS[::2]
                served.take_over(*workflows, compacted=compacted)
        check_histories(served)


def check_histories(served: Served) -> None:
    for key in served.partition.cells:
        history = served.history(key)
        endings = [event for event in history if isinstance(event, ENDINGS)]
        assert endings in ([], history[-1:])
        signal_ids = Counter(
            event.signal_id
            for event in history
            if isinstance(event, SignalReceived) and event.signal_id
        )
        assert all(count == 1 for count in signal_ids.values())
    tasks = Counter((task.run_id, task.activity_id, task.attempt) for task in served.tasks())
    assert all(count == 1 for count in tasks.values()), "an attempt goes to its queue once"


def bring_to_an_end(served: Served) -> None:
    """With all code there, everything that is open can be completed or cancelled."""
    served.take_over(*WORKFLOWS)
    for _ in range(40):
        served.advance(60_000)
        for task in served.tasks():
            served.complete(task, 7, key_of(served, task))
        for task in list(served.inline):
            served.turn_inline(key_of(served, task), served.completed(task, 7))
        for key in KEYS:
            served.turn(served.signals(ResumeWorkflow(), key))
            for name in ("approval", "more", "enough"):
                served.turn(served.signals(SignalWorkflow(name), key))
            served.turn(served.signals(CancelWorkflow(), key))
        if all(cell.ended or cell.status == "blocked" for cell in served.partition.cells.values()):
            break
    for key, cell in served.partition.cells.items():
        assert cell.ended or served.head(key).workflow == "unknown", served.story(key)


@settings(max_examples=80)
@given(
    _turns,
    st.sampled_from(("live", "reloaded", "compacted")),
    st.sampled_from((0, 1, 100)),
    st.sampled_from((None, 0, 4000)),
)
def test_partition_is_what_its_records_say_whatever_comes(
    turns: list[Step], mode: Mode, hot_max: int, memory_bytes_max: int | None
) -> None:
    served = Served(*WORKFLOWS, mode=mode, hot_max=hot_max, memory_bytes_max=memory_bytes_max)
    try:
        play(served, turns)
        bring_to_an_end(served)
        check_histories(served)
    finally:
        served.close()


@settings(max_examples=30)
@given(_turns)
def test_partition_writes_the_same_whether_or_not_it_loses_its_memory(turns: list[Step]) -> None:
    """Run IDs are drawn anew in each; all else of the histories is equal."""
    stories = []
    memories: tuple[tuple[Mode, int, int | None], ...] = (
        ("live", 100, None),
        ("live", 0, None),
        ("live", 100, 0),
        ("reloaded", 100, None),
        ("compacted", 100, None),
        ("compacted", 100, 0),
    )
    for mode, hot_max, bytes_max in memories:
        served = Served(
            *WORKFLOWS, mode=mode, checked=False, hot_max=hot_max, memory_bytes_max=bytes_max
        )
        try:
            play(served, [turn for turn in turns if turn[0] != "inline"])
            stories.append(
                {
                    key: (served.story(key), served.head(key).status)
                    for key in served.partition.cells
                }
            )
        finally:
            served.close()
    assert all(story == stories[0] for story in stories)
