"""The time of an attempt, on a loop whose clock stands still until it is told to go on."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from weft.host import Host
from weft.records import NULL, ActivityTask
from weft.worker._activity_clock import AttemptClock, LoopClocks
from weft.worker._activity_pulse import AttemptPulse


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualLoop(Host):
    """Has what the clock needs of a loop (`time` and `call_later`), and is the host of the same time."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._timers: list[tuple[float, int, Timer, Callable[..., Any], tuple[Any, ...]]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> Timer:
        timer = Timer()
        due = (self.now_s + delay_s, next(self._numbers), timer, callback, args)
        heapq.heappush(self._timers, due)
        return timer

    def advance(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self._timers and self._timers[0][0] <= end_s:
            self.now_s, _number, timer, callback, args = heapq.heappop(self._timers)
            if not timer.cancelled:
                callback(*args)
        self.now_s = end_s

    @property
    def armed_count(self) -> int:
        return sum(not timer.cancelled for _due_s, _number, timer, _callback, _args in self._timers)


class Watched:
    """A clock that notes what it does."""

    def __init__(
        self,
        timeout_s: float,
        *,
        reports: bool = True,
        heartbeat_s: float = 0,
        schedule_to_start_ms: int = 0,
        began_s: Callable[[], float] | None = None,
    ) -> None:
        self.loop = ManualLoop()
        self.started_ms: list[int] = []
        self.expired_at: list[float] = []
        self.pulse = AttemptPulse(self.loop, self.started_ms.append if reports else None)
        task = ActivityTask(
            "run-1",
            1,
            1,
            "step",
            NULL,
            start_to_close_ms=int(timeout_s * 1000),
            heartbeat_timeout_ms=int(heartbeat_s * 1000),
            schedule_to_start_ms=schedule_to_start_ms,
        )
        self.clock = AttemptClock(
            LoopClocks(cast("Any", self.loop), lasting=False),
            task,
            self.pulse,
            lambda: self.expired_at.append(self.loop.now_s),
            began_s,
        )


def test_attempt_that_ends_in_time_leaves_no_timer() -> None:
    watched = Watched(30)
    watched.clock.stop()
    assert watched.loop.armed_count == 0
    watched.loop.advance(60)
    assert (watched.started_ms, watched.expired_at, watched.clock.over) == ([], [], "")


def test_long_attempt_is_reported_once_with_when_it_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: 5000.0)
    watched = Watched(30)
    watched.loop.advance(0.9)
    assert watched.started_ms == []
    watched.loop.advance(20)
    assert watched.started_ms == [4_999_000]
    assert watched.expired_at == []


def test_attempt_expires_when_its_time_is_over() -> None:
    watched = Watched(30)
    watched.loop.advance(100)
    assert watched.expired_at == [130.0]
    assert watched.clock.over == "start-to-close"
    assert watched.loop.armed_count == 0


def test_short_timeout_expires_without_a_report() -> None:
    watched = Watched(0.5)
    watched.loop.advance(10)
    assert (watched.started_ms, watched.expired_at) == ([], [100.5])


def test_clock_without_a_report_has_one_timer() -> None:
    watched = Watched(30, reports=False)
    watched.loop.advance(29)
    assert watched.loop.armed_count == 1
    watched.loop.advance(1)
    assert watched.expired_at == [130.0]


def test_time_counts_from_when_the_thread_began() -> None:
    began = [0.0]
    watched = Watched(2, began_s=lambda: began[0])
    watched.loop.advance(10)
    assert (watched.started_ms, watched.expired_at) == ([], [])
    began[0] = 110.5
    watched.loop.advance(1.9)
    assert len(watched.started_ms) == 1
    assert watched.expired_at == []
    watched.loop.advance(2)
    assert watched.expired_at == [112.5]


def test_attempt_that_does_not_beat_is_over() -> None:
    watched = Watched(60, heartbeat_s=5)
    watched.loop.advance(4.9)
    assert watched.expired_at == []
    watched.loop.advance(100)
    assert watched.expired_at == [105.0]
    assert watched.clock.over == "heartbeat"
    assert watched.loop.armed_count == 0


def test_each_beat_gives_an_attempt_its_whole_time_again() -> None:
    watched = Watched(60, heartbeat_s=5)
    for _ in range(4):
        watched.loop.advance(4)
        watched.pulse.beat(None)
    assert watched.expired_at == []
    watched.loop.advance(30)
    assert watched.expired_at == [121.0]


def test_beating_attempt_is_over_when_its_time_is() -> None:
    watched = Watched(12, heartbeat_s=5)
    for _ in range(20):
        watched.loop.advance(1)
        watched.pulse.beat(None)
    assert watched.expired_at == [112.0]
    assert watched.clock.over == "start-to-close"


def test_cancelled_attempt_need_not_beat_while_it_cleans_up() -> None:
    watched = Watched(60, heartbeat_s=5)
    watched.loop.advance(4)
    watched.pulse.cancel()
    watched.loop.advance(50)
    assert watched.expired_at == []
    watched.loop.advance(50)
    assert watched.expired_at == [160.0]


def test_beats_count_from_when_the_thread_began() -> None:
    began = [0.0]
    watched = Watched(60, heartbeat_s=5, began_s=lambda: began[0])
    watched.loop.advance(30)
    began[0] = watched.loop.now_s
    watched.loop.advance(4)
    assert watched.expired_at == []
    watched.loop.advance(6)
    assert watched.clock.over == "heartbeat"


def test_start_is_reported_at_once_when_its_time_on_the_queue_is_limited() -> None:
    watched = Watched(60, schedule_to_start_ms=100)
    watched.loop.advance(0)
    assert len(watched.started_ms) == 1
    watched.loop.advance(30)
    assert len(watched.started_ms) == 1


def test_start_in_a_thread_is_reported_once_it_has_begun() -> None:
    began = [0.0]
    watched = Watched(60, schedule_to_start_ms=100, began_s=lambda: began[0])
    watched.loop.advance(30)
    assert watched.started_ms == []
    began[0] = watched.loop.now_s
    watched.loop.advance(0.1)
    assert len(watched.started_ms) == 1


def test_clocks_of_a_loop_share_one_timer_while_their_attempts_are_young() -> None:
    loop = ManualLoop()
    clocks = LoopClocks(cast("Any", loop), lasting=True)
    started_ms: list[int] = []
    task = ActivityTask("run-1", 1, 1, "step", NULL, start_to_close_ms=60_000)

    def begin() -> AttemptClock:
        pulse = AttemptPulse(loop, started_ms.append)
        return AttemptClock(clocks, task, pulse, lambda: None, host=loop)

    short = [begin() for _ in range(10)]
    loop.advance(0.25)
    long = begin()
    assert loop.armed_count == 1
    for clock in short:
        clock.stop()
    loop.advance(1)
    assert started_ms == [100_250]
    long.stop()
    loop.advance(1)
    assert loop.armed_count == 0
