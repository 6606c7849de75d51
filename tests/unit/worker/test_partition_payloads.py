"""Payloads that are too large for a record, in the turns of a partition: stored aside, or refused with a reason."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import NAMESPACE, ORDER, Served, ended_reply, replies_of
from tests.unit.worker.workflows import approval, at_once, charge, collecting
from weft import activity, workflow
from weft.codec import decode_payload, decode_reference, encode_payload, is_stored
from weft.errors import ActivityError
from weft.payloads import PAYLOAD_BYTES_MIN, Payloads, PayloadStore
from weft.records import (
    ActivityFailed,
    ActivityScheduled,
    AttemptCompleted,
    Payload,
    SignalReceived,
    SignalWorkflow,
    StartWorkflow,
    WorkflowCompleted,
)
from weft.topics import OUTPUT_BYTES_MAX
from weft.worker import _bounds
from weft.workflow import Context

BYTES_MAX = PAYLOAD_BYTES_MIN
LARGE = "x" * BYTES_MAX


@activity.define
async def file(document: str) -> str:
    return document


@workflow.define
async def filing(ctx: Context, document: str) -> Any:
    return await ctx.execute_activity(file, document)


@workflow.define
async def growing(ctx: Context, length: int) -> Any:
    """Asks for an activity with a large input, and returns what it gives."""
    return await ctx.execute_activity(file, "x" * length)


@workflow.define
async def resigned(ctx: Context, length: int) -> Any:
    """Makes do when its activity cannot be asked for."""
    try:
        return await ctx.execute_activity(file, "x" * length)
    except ActivityError as error:
        return [error.type, await ctx.execute_activity(charge, 5)]


@workflow.define
async def stubborn(ctx: Context, length: int) -> Any:
    while True:
        try:
            return await ctx.execute_activity(file, "x" * length)
        except ActivityError:
            pass


@workflow.define
async def filing_many(ctx: Context, count: int) -> Any:
    asked = (ctx.execute_activity(file, "x" * 10_000) for _ in range(count))
    results = await asyncio.gather(*asked, return_exceptions=True)
    return sum(isinstance(result, ActivityError) for result in results)


@workflow.define
async def impatient(ctx: Context, length: int) -> Any:
    """Ends in the very step that asks for too much."""
    _ = ctx.execute_activity(file, "x" * length)
    return "done"


@pytest.fixture
def store(tmp_path: Path) -> PayloadStore:
    return PayloadStore(tmp_path / "payloads")


@pytest.fixture
def payloads(store: PayloadStore) -> Payloads:
    return Payloads(NAMESPACE.name, store, bytes_max=BYTES_MAX)


def without_store() -> Payloads:
    return Payloads(NAMESPACE.name, bytes_max=BYTES_MAX)


def set_aside(payloads: Payloads, value: object, key: str = ORDER) -> Payload:
    """As a client does it."""
    return payloads.set_aside(encode_payload(value), workflow_id=key, scope="c-1", what="It")


def objects(store: PayloadStore) -> set[str]:
    return {found.key for found in store.list(NAMESPACE.name)}


def start(served: Served, name: str, reference: Payload) -> None:
    served.turn(served.signals(StartWorkflow(name, "request-1", reference)))


def failure_of(served: Served) -> Any:
    event = next(event for event in served.history() if isinstance(event, ActivityFailed))
    return event.failure


def test_large_input_result_and_signal_go_through_a_run_as_references(
    serve: Serve, payloads: Payloads, store: PayloadStore
) -> None:
    served = serve(filing, collecting, payloads=payloads)
    start(served, "filing", set_aside(payloads, LARGE))
    task = served.task
    assert is_stored(task.input), "the input of the activity is as large"
    assert payloads.fetch(task.input) == encode_payload([LARGE])

    result = AttemptCompleted(
        task.run_id, task.activity_id, task.attempt, set_aside(payloads, LARGE)
    )
    served.turn(served.results(result))
    assert served.head().status == "completed"
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert payloads.fetch(ending.result) == encode_payload(LARGE)
    assert len(served.compacted[ORDER.encode()]) < BYTES_MAX, "no record carries any of it"
    assert len(objects(store)) == 3, (
        "the client's input (and result), the activity's input, the run's result"
    )


def test_signals_that_were_stored_are_fetched_when_the_code_takes_them(
    serve: Serve, payloads: Payloads
) -> None:
    served = serve(collecting, payloads=payloads)
    served.start("collecting")
    for number in range(3):
        payload = set_aside(payloads, f"{number}{LARGE}")
        served.turn(served.signals(SignalWorkflow("line", payload, f"s-{number}")))
    served.signal("enough")
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert decode_payload(payloads.fetch(ending.result)) == [f"{n}{LARGE}" for n in range(3)]


def test_reply_carries_the_reference_of_a_large_result(serve: Serve, payloads: Payloads) -> None:
    served = serve(at_once, payloads=payloads)
    start(served, "at_once", set_aside(payloads, LARGE))
    (reply,) = replies_of(served.ask(ended_reply()))
    assert reply.status == "completed"
    assert payloads.fetch(reply.result) == encode_payload(LARGE)


def test_large_input_of_an_activity_fails_it_when_there_is_no_store(serve: Serve) -> None:
    served = serve(growing, payloads=without_store())
    served.start("growing", BYTES_MAX)
    assert served.story() == [
        "WorkflowStarted",
        "ActivityScheduled",
        "ActivityFailed",
        "WorkflowFailed",
    ]
    assert served.tasks() == [], "nobody is asked to run it"
    failure = failure_of(served)
    assert (failure.type, failure.non_retryable) == ("PayloadTooLargeError", True)
    assert failure.message.startswith("The input of activity file is 2,004 bytes as JSON; 2,000 is")
    assert "WEFT_PAYLOAD_STORE" in failure.message
    assert served.head().reason.startswith("PayloadTooLargeError: The input of activity file")


def test_code_catches_that_an_activity_is_too_large_and_every_replay_finds_the_same(
    serve: Serve, payloads: Payloads
) -> None:
    """Also with a store, which the next worker has: what was decided stays decided."""
    served = serve(resigned, payloads=without_store())
    served.start("resigned", BYTES_MAX)
    assert [task.activity for task in served.tasks()] == ["charge"]
    served.payloads = payloads
    served.take_over()
    served.complete(served.task, 5)
    assert served.head().status == "completed"
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert decode_payload(ending.result) == ["PayloadTooLargeError", 5]


def test_input_that_was_stored_is_replayed_by_a_worker_without_a_store(
    serve: Serve, payloads: Payloads
) -> None:
    served = serve(growing, payloads=payloads)
    served.start("growing", BYTES_MAX)
    task = served.task
    served.payloads = without_store()
    served.take_over()
    served.complete(task, "filed")
    assert served.head().status == "completed"


def test_run_is_blocked_when_its_code_asks_for_too_much_again_and_again(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.worker._turn.REFUSED_MAX", 50)
    served = serve_live(stubborn, at_once, payloads=without_store())
    served.start("stubborn", BYTES_MAX)
    head = served.head()
    assert head.status == "blocked"
    assert "more than 50 activities of one step are too large" in head.reason
    assert served.story() == ["WorkflowStarted", "WorkflowBlocked"]
    served.start("at_once", 1, key="other")
    assert served.head("other").status == "completed", "the partition goes on"


def test_run_that_ends_in_the_step_that_asks_for_too_much_is_completed(serve: Serve) -> None:
    served = serve(impatient, payloads=without_store())
    served.start("impatient", BYTES_MAX)
    assert served.head().status == "completed"
    assert "ActivityFailed" not in served.story()
    assert served.tasks() == []


def test_large_result_fails_its_run_when_there_is_no_store(serve: Serve) -> None:
    served = serve(growing, payloads=without_store())
    served.start("growing", 10)
    served.complete(served.task, LARGE[:-2])
    assert served.head().status == "completed", "just at the limit"
    served.start("growing", 10, request_id="request-2")
    served.complete(served.task, LARGE)
    head = served.head()
    assert head.status == "failed"
    assert head.reason.startswith(
        f"PayloadTooLargeError: The result of workflow '{ORDER}' is 2,002 bytes as JSON; 2,000 is"
    )


def test_ended_run_whose_result_was_refused_is_no_nondeterminism_for_a_replay(
    serve_live: Serve,
) -> None:
    served = serve_live(at_once, payloads=without_store())
    served.start("at_once", LARGE)
    assert served.head().status == "failed"
    machine = workflow.Machine(at_once, ORDER)
    machine.replay(served.history())
    machine.close()


def test_step_that_asks_for_too_much_in_sum_fails_what_is_beyond(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bounds, "STEP_BYTES_MAX", 50_000)
    served = serve_live(filing_many, payloads=Payloads(NAMESPACE.name))
    served.start("filing_many", 100)
    assert len(served.tasks()) == 4
    message = failure_of(served).message
    assert message.startswith(
        "The input of activity file, 10,004 bytes as JSON, comes on top of 40,016"
    )
    for task in served.tasks():
        served.complete(task, "filed")
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert decode_payload(ending.result) == 96


def test_step_that_asks_for_too_much_in_sum_is_stored_where_there_is_a_store(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch, store: PayloadStore
) -> None:
    monkeypatch.setattr(_bounds, "STEP_BYTES_MAX", 50_000)
    served = serve_live(filing_many, payloads=Payloads(NAMESPACE.name, store))
    batch = served.start("filing_many", 100)
    assert len(served.tasks()) == 100
    assert sum(is_stored(task.input) for task in served.tasks()) == 96
    assert sum(len(value or b"") for _, _, _, value, _ in batch.writes) < 300_000


def damage(store: PayloadStore, reference: Payload) -> Path:
    path = Path(store.url_of(decode_reference(reference).key))
    path.write_bytes(b"damage")
    return path


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_run_is_blocked_when_its_input_cannot_be_had_and_goes_on_when_it_can(
    serve: Serve, payloads: Payloads, store: PayloadStore, how: str
) -> None:
    served = serve(at_once, approval, payloads=payloads)
    reference = set_aside(payloads, LARGE)
    path = damage(store, reference)
    if how == "missing":
        path.unlink()
    start(served, "at_once", reference)
    head = served.head()
    assert head.status == "blocked"
    assert f"is {how}" in head.reason
    assert str(path) in head.reason
    served.start("approval", key="other")
    served.turn(served.signals(SignalWorkflow("approval", encode_payload(1)), "other"))
    assert served.head("other").status == "completed", "the partition goes on"

    set_aside(payloads, LARGE)  # as a backup brings it back
    served.take_over()
    assert served.head().status == "completed"
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert payloads.fetch(ending.result) == encode_payload(LARGE)


@workflow.define
async def swallowing(ctx: Context) -> Any:
    """Would hide every error of a signal, if it saw one."""
    await ctx.receive_signal("go")
    try:
        return await ctx.receive_signal("line")
    except BaseException:  # noqa: BLE001  # that is what it tries
        return "swallowed"


def test_code_never_sees_that_a_buffered_signal_cannot_be_had(
    serve: Serve, payloads: Payloads, store: PayloadStore
) -> None:
    served = serve(swallowing, payloads=payloads)
    served.start("swallowing")
    reference = set_aside(payloads, LARGE)
    served.turn(served.signals(SignalWorkflow("line", reference)))
    path = damage(store, reference)
    served.signal("go")
    head = served.head()
    assert head.status == "blocked"
    assert "is damaged" in head.reason
    path.unlink()
    set_aside(payloads, LARGE)
    served.take_over()
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert payloads.fetch(ending.result) == encode_payload(LARGE)


@workflow.define
async def fickle(ctx: Context) -> Any:
    """Takes signals and gives them up again, in one step and in several ways."""
    await ctx.receive_signal("go")
    first, second = ctx.receive_signal("line"), ctx.receive_signal("line")
    first.cancel()
    second.cancel()
    waiting = ctx.receive_signal("line")
    late = ctx.receive_signal("line", timeout=60)
    return [(await waiting)[0], (await late)[0], (await ctx.receive_signal("line"))[0]]


def test_stored_signals_keep_their_order_when_the_code_takes_and_gives_them_up(
    serve: Serve, payloads: Payloads
) -> None:
    """What is given up goes to whoever asked next; nothing is lost, and every replay finds the same."""
    served = serve(fickle, payloads=payloads)
    served.start("fickle")
    for number in range(3):
        payload = set_aside(payloads, f"{number}{LARGE}")
        served.turn(served.signals(SignalWorkflow("line", payload, f"s-{number}")))
    served.signal("go")
    served.take_over()
    for number in range(3, 5):  # not needed, unless one was lost
        served.turn(served.signals(SignalWorkflow("line", set_aside(payloads, f"{number}{LARGE}"))))
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert sorted(decode_payload(ending.result)) == ["0", "1", "2"]


@workflow.define
async def handling(ctx: Context) -> Any:
    """A signal that is given up in the step that took it goes to the handler, before those that came after it."""
    lines: list[str] = []
    await ctx.receive_signal("go")
    ctx.receive_signal("line").cancel()

    @ctx.on_signal("line")
    def line(text: str) -> None:
        lines.append(text[0])

    await ctx.wait_condition(lambda: len(lines) == 4)
    return lines


def test_handler_is_given_stored_signals_in_the_order_of_their_coming(
    serve: Serve, payloads: Payloads
) -> None:
    served = serve(handling, payloads=payloads)
    served.start("handling")
    large = [set_aside(payloads, f"{number}{LARGE}") for number in (0, 1, 3)]
    first, second, last = large
    for payload in (first, second, encode_payload("2")):
        served.turn(served.signals(SignalWorkflow("line", payload)))
    served.signal("go")
    served.take_over()
    served.turn(served.signals(SignalWorkflow("line", last)))
    ending = served.history()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert decode_payload(ending.result) == ["0", "1", "2", "3"]


class Hurried:
    """A guard as the worker has it: it counts how long it was inside, and what was fetched meanwhile."""

    interrupted_count = 0
    has_thread = False

    def __init__(self) -> None:
        self.is_inside = False

    def call(self, function: Any, *args: Any) -> Any:
        self.is_inside = True
        try:
            return function(*args)
        finally:
            self.is_inside = False


def test_store_is_never_asked_in_the_time_that_the_code_has(
    serve_live: Serve, payloads: Payloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, fetched = Hurried(), []
    fetch = payloads.fetch

    def note(payload: Payload) -> Payload:
        assert not guard.is_inside
        fetched.append(payload)
        return fetch(payload)

    monkeypatch.setattr(payloads, "fetch", note)
    served = serve_live(filing, collecting, payloads=payloads, guard=guard)
    start(served, "filing", set_aside(payloads, LARGE))
    task = served.task
    result = AttemptCompleted(
        task.run_id, task.activity_id, task.attempt, set_aside(payloads, LARGE)
    )
    served.turn(served.results(result))
    for number in range(2):
        served.start("collecting", key="other") if not number else None
        payload = set_aside(payloads, f"{number}{LARGE}", "other")
        served.turn(served.signals(SignalWorkflow("line", payload), "other"))
    assert len(fetched) == 4


def test_signal_that_nobody_waits_for_is_not_fetched(serve: Serve, payloads: Payloads) -> None:
    served = serve(approval, payloads=payloads)
    served.start("approval")
    assert payloads.store is not None
    reference = set_aside(payloads, LARGE)
    payloads.store.delete([decode_reference(reference).key])
    served.turn(served.signals(SignalWorkflow("other", reference)))
    served.signal("approval", "yes")
    assert served.head().status == "completed"


def test_signal_that_cannot_be_had_is_kept_and_taken_when_it_can(
    serve: Serve, payloads: Payloads, store: PayloadStore
) -> None:
    served = serve(approval, payloads=payloads)
    served.start("approval")
    reference = set_aside(payloads, LARGE)
    path = damage(store, reference)
    served.turn(served.signals(SignalWorkflow("approval", reference, "s-1")))
    assert served.head().status == "blocked"
    served.take_over()
    assert served.head().status == "blocked", "as long as it cannot"
    path.unlink()
    set_aside(payloads, LARGE)
    served.take_over()
    assert served.head().status == "completed"
    assert sum(isinstance(event, SignalReceived) for event in served.history()) == 1


def test_run_is_blocked_when_the_store_does_not_take_what_its_code_asks_for(
    serve: Serve, payloads: Payloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read only")

    assert payloads.store is not None
    served = serve(growing, payloads=payloads)
    with monkeypatch.context() as patched:
        patched.setattr(payloads.store._files, "write", refuse)
        served.start("growing", BYTES_MAX)
        head = served.head()
        assert head.status == "blocked"
        assert "PermissionError: read only" in head.reason
    served.take_over()
    assert [task.activity for task in served.tasks()] == ["file"]
    assert isinstance(served.history()[-1], ActivityScheduled)


def removed(served: Served) -> set[str]:
    return {key for _, keys in served.batch.removals for key in keys}


def test_purge_removes_every_payload_of_the_run(
    serve: Serve, payloads: Payloads, store: PayloadStore
) -> None:
    served = serve(filing, payloads=payloads)
    start(served, "filing", set_aside(payloads, LARGE))
    for number in range(80):  # so that there are pages
        payload = set_aside(payloads, f"{number}{LARGE}")
        served.turn(served.signals(SignalWorkflow("line", payload, f"s-{number}")))
    served.complete(served.task, "filed")
    assert served.head().page_count > 0
    assert not served.batch.removals
    everything = objects(store)
    assert len(everything) == 82
    served.purge()
    assert removed(served) == everything


def test_purge_of_a_blocked_and_terminated_run_removes_what_was_kept_for_it(
    serve: Serve, payloads: Payloads, store: PayloadStore
) -> None:
    served = serve(at_once, payloads=payloads)
    start(served, "unknown_workflow", set_aside(payloads, LARGE))
    served.turn(served.signals(SignalWorkflow("line", set_aside(payloads, LARGE + "!"))))
    assert served.head().status == "blocked"
    served.terminate()
    served.purge()
    assert removed(served) == objects(store)
    assert len(objects(store)) == 2


def test_new_run_removes_the_payloads_of_the_former_one_and_keeps_its_own(
    serve: Serve, payloads: Payloads, store: PayloadStore
) -> None:
    served = serve(approval, payloads=payloads)
    start(served, "approval", set_aside(payloads, LARGE))
    former = objects(store)
    again = payloads.set_aside(
        encode_payload(LARGE), workflow_id=ORDER, scope="c-2", what="The same again"
    )
    request = StartWorkflow("approval", "request-2", again, on_conflict="terminate_existing")
    served.turn(served.signals(request))
    assert removed(served) == former
    served.terminate()
    served.purge()
    assert removed(served) == objects(store) - former


def test_run_that_ends_by_itself_keeps_its_payloads(serve: Serve, payloads: Payloads) -> None:
    served = serve(at_once, payloads=payloads)
    start(served, "at_once", set_aside(payloads, LARGE))
    served.advance(10**9)
    assert not any(batch.removals for batch in [served.batch])


def test_event_that_no_head_could_carry_blocks_its_run_alone(serve_live: Serve) -> None:
    @workflow.define
    async def boundless(ctx: Context) -> Any:
        return await ctx.execute_activity("x" * OUTPUT_BYTES_MAX)

    served = serve_live(boundless, at_once)
    served.start("boundless")
    head = served.head()
    assert head.status == "blocked"
    assert "The event ActivityScheduled of 4,194,410 bytes is too large" in head.reason
    served.start("at_once", 1, key="other")
    assert served.head("other").status == "completed"


@pytest.mark.parametrize("key", [ORDER.encode(), b"k" * 4_000_000])
def test_record_that_is_too_large_for_any_of_our_topics_is_put_aside_without_its_value(
    serve_live: Serve, key: bytes
) -> None:
    """Somebody has raised the limit of `ns.signals`: what comes then must not stop the partition."""
    served = serve_live(at_once)
    value = b'{"signal":"x","payload":"' + b"y" * 4_000_000 + b'"}'
    served.turn(served.signals(value, key))
    (deadletter,) = served.deadletters
    _, _, written_key, written_value, headers = deadletter
    assert written_value is None
    assert written_key == key[:1000]
    reason = dict(headers)["weft-reason"].decode()
    size_bytes = len(key) + len(value)
    assert reason == (
        f"it has {size_bytes:,} bytes; 1,572,864 is the most that is taken up "
        f"(its {size_bytes:,} bytes are too many for this topic: without its value)"
    )


def test_record_of_the_largest_size_that_is_taken_up_fits_every_record_made_of_it(
    serve: Serve,
) -> None:
    """The worst sums: a name, a request ID and a reason of the greatest lengths, all at once."""
    served = serve(approval, checked=False)
    record = StartWorkflow("w" * 700_000, "r" * 700_000)
    served.turn(served.signals(record))
    served.turn(served.signals(SignalWorkflow("s" * 1_400_000)))
    served.cancel("c" * 1_400_000)
    served.terminate("t" * 1_400_000)
    assert served.head().status == "terminated"
    sizes = [
        len(key or b"") + len(value or b"") + sum(len(name) + len(data) for name, data in headers)
        for writes in served.written.values()
        for _, _, key, value, headers in writes
    ]
    assert max(sizes) > 2_000_000, "or this test shows nothing"
    assert max(sizes) + 1000 < OUTPUT_BYTES_MAX
