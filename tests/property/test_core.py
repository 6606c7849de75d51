"""The core alone, under random commands and inputs, against rules that do not look into it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.codec import decode_events, encode, encode_payload, join_events
from weft.core import (
    CancelActivity,
    CancelTimer,
    CancelWorkflowDone,
    Command,
    CompleteWorkflow,
    Due,
    FailWorkflow,
    LeaseExpired,
    ScheduleActivity,
    StartTimer,
    apply,
    decide,
    decide_commands,
    decide_start,
    next_due_ms,
    rebuild,
    retry_interval_ms,
)
from weft.core import Run as CoreRun
from weft.core._retry import LOST_ATTEMPTS_MAX
from weft.records import (
    NULL,
    ActivityCompleted,
    ActivityFailed,
    ActivityLost,
    ActivityRetryScheduled,
    AttemptCompleted,
    AttemptFailed,
    AttemptReleased,
    AttemptStarted,
    CancelWorkflow,
    FailureInfo,
    HistoryEvent,
    RetryPolicy,
    SignalReceived,
    SignalWorkflow,
    StartWorkflow,
    TerminateWorkflow,
    TimerFired,
)

Step = tuple[Any, ...]
NOW_MS = 1_700_000_000_000
RUN_ID = "run-1"

_ids = st.integers(1, 6)
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 6),
    initial_interval_ms=st.integers(1, 10_000),
    backoff_coefficient=st.floats(0.1, 10),
    max_interval_ms=st.sampled_from((0, 1, 500, 30_000)),
    jitter=st.floats(0, 1),
    non_retryable=st.sampled_from(((), ("Declined",))),
)
_steps = st.one_of(
    st.tuples(st.just("schedule"), policies, st.integers(1, 5000), st.just((0, 0))),
    st.tuples(
        st.just("schedule"),
        policies,
        st.integers(1, 5000),
        st.tuples(st.sampled_from((0, 1, 3000)), st.sampled_from((0, 1, 9000))),
    ),
    st.tuples(st.just("timer"), st.integers(0, 5000)),
    st.tuples(st.just("cancel_activity"), _ids),
    st.tuples(st.just("cancel_timer"), _ids),
    st.tuples(st.just("completed"), _ids, st.integers(-1, 1), st.booleans()),
    st.tuples(st.just("failed"), _ids, st.integers(-1, 1), st.sampled_from(("Blip", "Declined"))),
    st.tuples(st.just("failed"), _ids, st.just(0), st.just("Blip")),
    st.tuples(st.just("started"), _ids, st.integers(-1, 1), st.just(0)),
    st.tuples(st.just("started"), _ids, st.just(0), st.sampled_from((1, 2))),
    st.tuples(st.just("started"), _ids, st.just(0), st.sampled_from((1, 2))),
    st.tuples(st.just("released"), _ids, st.integers(-1, 1), st.sampled_from((1, 2))),
    st.tuples(st.just("expired"), _ids, st.sampled_from((1, 2))),
    st.tuples(st.just("advance"), st.integers(0, 20_000)),
    st.tuples(st.just("advance"), st.integers(0, 20_000)),
    st.tuples(st.just("signal"), st.sampled_from(("", "s-1", "s-2"))),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("terminate")),
    st.tuples(st.just("complete")),
    st.tuples(st.just("fail")),
    st.tuples(st.just("cancelled")),
)


class CoreDriver:
    """Applies steps to a run and checks the rules after each."""

    def __init__(self, timeout_ms: int, draws: list[float]) -> None:
        self.now_ms = NOW_MS
        self.events: list[HistoryEvent] = []
        self.dispatched: Counter[tuple[int, int]] = Counter()
        self.run = CoreRun("order-42")
        self.command_id = 0
        self._draws = draws
        start = StartWorkflow("fulfil", "request-1", timeout_ms=timeout_ms)
        self.take(decide_start(start, run_id=RUN_ID, version="", now_ms=NOW_MS))

    def take(self, decision: Any) -> None:
        was_ended = self.run.ended
        assert not (was_ended and decision.events), "nothing after the end"
        for event in decision.events:
            self.events.append(event)
            apply(self.run, event)
        for effect in decision.effects:
            self.dispatched[effect.activity_id, effect.attempt] += 1
        assert [event.event_id for event in self.events] == list(range(1, len(self.events) + 1))
        again = rebuild(
            "order-42", decode_events(join_events([encode(event) for event in self.events]))
        )
        assert again == self.run
        assert next_due_ms(again) == next_due_ms(self.run)
        open_ones = self.run.activities.values()
        assert self.run.leased_count == sum(activity.lease_ms > 0 for activity in open_ones)
        for activity in open_ones:
            assert activity.tries <= activity.retry.max_attempts
            assert activity.lost_count <= LOST_ATTEMPTS_MAX

    def step(self, kind: str, *rest: Any) -> None:
        if kind == "advance":
            self.now_ms += rest[0]
            while 0 < next_due_ms(self.run) <= self.now_ms:
                self.take(decide(self.run, Due(), now_ms=self.now_ms, draw=self.draw()))
            assert decide(self.run, Due(), now_ms=self.now_ms, draw=0.0).dropped
            for activity in self.run.activities.values():
                assert not activity.close_due_ms or activity.close_due_ms > self.now_ms
            return
        commands = self.commands(kind, *rest)
        if commands is None:
            record = self.record(kind, *rest)
            self.take(decide(self.run, record, now_ms=self.now_ms, draw=self.draw()))
        elif not self.run.ended:
            self.take(decide_commands(self.run, commands, now_ms=self.now_ms))

    def draw(self) -> float:
        return self._draws[len(self.events) % len(self._draws)]

    def commands(self, kind: str, *rest: Any) -> list[Command] | None:
        match kind, *rest:
            case "schedule", policy, start_to_close_ms, (to_start_ms, to_close_ms):
                self.command_id += 1
                return [
                    ScheduleActivity(
                        self.command_id,
                        "a",
                        NULL,
                        "q",
                        False,
                        start_to_close_ms,
                        policy,
                        schedule_to_start_ms=to_start_ms,
                        schedule_to_close_ms=to_close_ms,
                    )
                ]
            case "timer", delay_ms:
                self.command_id += 1
                return [StartTimer(self.command_id, self.now_ms + delay_ms)]
            case "cancel_activity", activity_id:
                return [CancelActivity(activity_id)] if activity_id in self.run.activities else []
            case "cancel_timer", timer_id:
                return [CancelTimer(timer_id)] if timer_id in self.run.timers else []
            case ("complete",):
                return [CompleteWorkflow(encode_payload("done"))]
            case ("fail",):
                return [FailWorkflow(FailureInfo("Blip"))]
            case ("cancelled",):
                return [CancelWorkflowDone()] if self.run.cancel_requested else []
        return None

    def record(self, kind: str, *rest: Any) -> Any:
        if kind in {"completed", "failed", "started", "released"}:
            return self.result(kind, *rest)
        if kind == "expired":
            return LeaseExpired(rest[0], f"lease-{rest[1]}")
        if kind == "signal":
            return SignalWorkflow("approval", id=rest[0])
        return CancelWorkflow() if kind == "cancel" else TerminateWorkflow()

    def result(self, kind: str, activity_id: int, offset: int, *rest: Any) -> Any:
        activity = self.run.activities.get(activity_id)
        attempt = (activity.attempt if activity else 1) + offset
        if kind == "completed":
            return AttemptCompleted(RUN_ID if rest[0] else "run-0", activity_id, attempt)
        if kind == "failed":
            return AttemptFailed(RUN_ID, activity_id, attempt, FailureInfo(rest[0]))
        lease = f"lease-{rest[0]}" if rest[0] else ""
        if kind == "released":
            return AttemptReleased(RUN_ID, activity_id, attempt, lease)
        lease_ms = 10_000 if lease else 0
        return AttemptStarted(RUN_ID, activity_id, attempt, self.now_ms, lease_ms, lease)


@settings(max_examples=200)
@given(
    st.lists(_steps, max_size=25),
    st.sampled_from((0, 0, 10_000)),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
)
def test_rebuild_equals_the_live_run_after_every_step(
    steps: list[Step], timeout_ms: int, draws: list[float]
) -> None:
    driver = CoreDriver(timeout_ms, draws)
    for step in steps:
        driver.step(*step)
    check_rules(driver)


def check_rules(driver: CoreDriver) -> None:
    """What no sequence of inputs may break."""
    signal_ids = Counter(
        event.signal_id
        for event in driver.events
        if isinstance(event, SignalReceived) and event.signal_id
    )
    assert all(count == 1 for count in signal_ids.values()), "a signal's ID is applied once"
    assert all(count == 1 for count in driver.dispatched.values()), "an attempt is brought out once"
    ended = Counter(
        event.activity_id
        for event in driver.events
        if isinstance(event, ActivityCompleted | ActivityFailed)
    )
    assert all(count == 1 for count in ended.values()), "an activity ends once"
    fired = Counter(event.timer_id for event in driver.events if isinstance(event, TimerFired))
    assert all(count == 1 for count in fired.values()), "a timer fires once"
    for event in driver.events:
        if isinstance(event, ActivityRetryScheduled):
            assert event.due_ms >= event.time_ms
            assert driver.dispatched[event.activity_id, event.attempt] == 1
        if isinstance(event, ActivityLost):
            assert driver.dispatched[event.activity_id, event.attempt + 1] == 1
            assert driver.dispatched[event.activity_id, event.attempt] == 1


@given(policies, st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_retry_interval_keeps_its_bounds_whatever_the_policy(
    policy: RetryPolicy, attempt: int, draw: float
) -> None:
    interval_ms = retry_interval_ms(policy, attempt, draw)
    ceiling_ms = policy.max_interval_ms or 100 * 365 * 24 * 3600 * 1000
    try:
        base_ms = min(
            policy.initial_interval_ms * policy.backoff_coefficient ** (attempt - 1), ceiling_ms
        )
    except OverflowError:
        base_ms = ceiling_ms
    assert isinstance(interval_ms, int)
    assert 0 <= interval_ms <= ceiling_ms
    lowest = base_ms * (1 - policy.jitter)
    highest = base_ms * (1 + policy.jitter)
    assert lowest * (1 - 1e-9) - 1 <= interval_ms <= highest * (1 + 1e-9)
