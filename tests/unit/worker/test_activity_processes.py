"""Activities with `process=True`, in real processes: what comes of them, however they end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker import process_steps as steps
from weft import activity
from weft.activity import Activity
from weft.codec import decode_payload, encode_payload
from weft.errors import UsageError
from weft.log import open_log
from weft.metrics import WorkerMetrics
from weft.records import ActivityTask, AttemptCompleted, AttemptFailed, FailureInfo, Payload
from weft.worker import AttemptPulse, AttemptRunner, Worker

PATIENCE_S = 20.0
ALL = (steps.about, steps.twice, steps.breaks, steps.dies, steps.hangs, steps.beats)


class Bench:
    """A runner with two processes."""

    def __init__(self) -> None:
        activities: dict[str, Activity[..., Any]] = {one.name: one for one in ALL}
        self.runner = AttemptRunner(activities, WorkerMetrics(), processes_max=2)

    async def run(
        self,
        step: Activity[..., Any],
        *args: object,
        pulse: AttemptPulse | None = None,
        **options: Any,
    ) -> AttemptCompleted | AttemptFailed | None:
        task = ActivityTask("run-1", 7, 2, step.name, encode_payload(args), "fulfil", **options)
        result = await self.runner.run(task, "order-1", pulse or AttemptPulse())
        assert result is None or isinstance(result, AttemptCompleted | AttemptFailed)
        return result

    def value(self, step: Activity[..., Any], *args: object, **options: Any) -> Any:
        result = asyncio.run(self.run(step, *args, **options))
        assert isinstance(result, AttemptCompleted), result
        return decode_payload(result.result)

    def failure(self, step: Activity[..., Any], *args: object, **options: Any) -> FailureInfo:
        result = asyncio.run(self.run(step, *args, **options))
        assert isinstance(result, AttemptFailed), result
        return result.failure


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.runner.close()


ORDER = steps.Order("a", timedelta(seconds=1.5))


@pytest.mark.requirement("R3-13")
def test_function_runs_in_a_process_that_is_kept_for_the_next(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """Its process is a new one: what is logged there follows from the levels as they were when it was started."""
    caplog.set_level(logging.INFO, "steps")
    bench = Bench()
    request.addfinalizer(bench.runner.close)
    pulse = AttemptPulse()
    first = bench.value(steps.about, ORDER, pulse=pulse)
    assert first.pop("pid") != os.getpid()
    ids = ["order-1", "run-1", "about", 7, 2]
    assert first == {"ids": ids, "seconds": 3.0, "said": None}
    assert bytes(pulse.take_news()) == b'"half"'
    assert [record.getMessage() for record in caplog.records if record.name == "steps"] == [
        "order a"
    ]
    second = bench.value(steps.about, ORDER, 10, heartbeat_details=Payload(b'{"row":5}'))
    assert (second["seconds"], second["said"]) == (15.0, {"row": 5})
    assert second["pid"] == bench.value(steps.about, ORDER)["pid"]


def test_arguments_and_result_are_converted_by_their_hints(bench: Bench) -> None:
    assert bench.value(steps.twice, ORDER) == {"id": "aa", "waits": "PT3S"}
    wrong = bench.failure(steps.twice, {"id": 5, "waits": "PT3S"})
    assert (wrong.type, wrong.non_retryable) == ("UsageError", True)
    assert "argument 'order'" in wrong.message
    missing = bench.failure(steps.twice)
    assert (missing.message, missing.non_retryable) == (
        "activity twice needs 1 arguments, got 0",
        True,
    )


def test_exception_comes_back_as_the_failure_with_the_stack_of_its_process(bench: Bench) -> None:
    pulse = AttemptPulse()
    declined = bench.failure(steps.breaks, "failure", pulse=pulse)
    assert (declined.type, declined.message, declined.non_retryable) == ("Declined", "no", True)
    assert decode_payload(declined.details) == {"card": 7}
    assert "process_steps.py" in declined.stack
    assert "in breaks" in declined.stack
    assert "weft/worker" not in declined.stack
    left = bench.failure(steps.breaks, "exit")
    assert (left.type, left.message, left.non_retryable) == ("SystemExit", "4", False)
    assert bench.failure(steps.breaks, "interrupt").type == "KeyboardInterrupt"
    unfit = bench.failure(steps.breaks, "result")
    assert (unfit.type, unfit.non_retryable) == ("UsageError", True)
    assert "the result of activity breaks" in unfit.message


def test_last_words_are_kept_when_the_attempt_fails(bench: Bench) -> None:
    result = asyncio.run(bench.run(steps.breaks, "failure"))
    assert isinstance(result, AttemptFailed)
    assert decode_payload(result.heartbeat_details) == "after failure"


@pytest.mark.parametrize(
    ("how", "end"),
    [("exit", "exit status 3"), ("crash", f"signal {int(signal.SIGSEGV)} (SIGSEGV)")],
)
def test_death_of_the_process_fails_its_attempt_alone(bench: Bench, how: str, end: str) -> None:
    async def both() -> tuple[Any, Any]:
        slow = asyncio.create_task(bench.run(steps.beats, 30, 0.05))
        return await asyncio.gather(slow, bench.run(steps.dies, how))

    other, died = asyncio.run(both())
    assert isinstance(other, AttemptCompleted)
    assert isinstance(died, AttemptFailed)
    assert (died.failure.type, died.failure.non_retryable) == ("ProcessDiedError", False)
    assert died.failure.message == (
        f"attempt 2 of activity dies: its process ended before it did, with {end}"
    )
    assert bench.value(steps.about, ORDER)["ids"][2] == "about"


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def _all_gone(note: Path) -> bool:
    """Whether the processes that are noted there are gone, at the latest in a while."""
    ends_s = time.monotonic() + PATIENCE_S
    pids = [int(pid) for pid in note.read_text().split()]
    while not all(map(_is_gone, pids)) and time.monotonic() < ends_s:
        time.sleep(0.01)
    return all(map(_is_gone, pids))


def test_process_out_of_time_is_killed_with_what_it_has_started(
    bench: Bench, tmp_path: Path
) -> None:
    note = tmp_path / "pids"
    failure = bench.failure(steps.hangs, note, start_to_close_ms=2500)
    assert failure.type == "TimeoutError"
    assert failure.message.startswith("attempt 2 of activity hangs was not done within")
    assert _all_gone(note)


def test_process_that_beats_goes_on_until_it_is_silent_for_its_heartbeat_timeout(
    bench: Bench,
) -> None:
    result = asyncio.run(bench.run(steps.beats, 8, 0.2, 60.0, heartbeat_timeout_ms=1200))
    assert isinstance(result, AttemptFailed)
    assert result.failure.type == "HeartbeatTimeoutError"
    assert decode_payload(result.heartbeat_details) == 7


async def _until(note: Path) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(note.exists):  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.01)


def test_cancelled_attempts_process_is_killed(bench: Bench, tmp_path: Path) -> None:
    async def cancelled(note: Path) -> object:
        pulse = AttemptPulse()
        attempt = asyncio.create_task(bench.run(steps.hangs, note, pulse=pulse))
        await _until(note)
        pulse.cancel()
        return await attempt

    async def stopped(note: Path) -> None:
        attempt = asyncio.create_task(bench.run(steps.hangs, note))
        await _until(note)
        attempt.cancel()
        await asyncio.wait([attempt])
        assert attempt.cancelled()

    assert asyncio.run(cancelled(tmp_path / "one")) is None
    assert _all_gone(tmp_path / "one")
    asyncio.run(stopped(tmp_path / "two"))
    assert _all_gone(tmp_path / "two")


def test_no_more_run_at_once_than_there_are_processes(bench: Bench) -> None:
    async def many() -> float:
        began_s = time.monotonic()
        runs = (bench.run(steps.beats, 1, 0.3, start_to_close_ms=800) for _ in range(7))
        results = await asyncio.gather(*runs)
        assert all(isinstance(result, AttemptCompleted) for result in results)
        return time.monotonic() - began_s

    # In the line is not in the attempt's time: the last ones have waited for longer than that.
    assert asyncio.run(many()) >= 4 * 0.3


def test_process_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    code = (
        "import asyncio, sys; from pathlib import Path; from tests.unit.worker import process_steps as steps;"
        "from tests.unit.worker.test_activity_processes import Bench;"
        "asyncio.run(Bench().run(steps.hangs, Path(sys.argv[1])))"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(note)])
    ends_s = time.monotonic() + PATIENCE_S
    while not note.exists() and time.monotonic() < ends_s:
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    assert _all_gone(note)


def test_function_that_no_other_process_finds_is_refused(tmp_path: Path) -> None:
    def inside() -> None: ...

    async def is_async() -> None: ...

    with pytest.raises(UsageError, match="at the top level of a module"):
        activity.define(process=True)(inside)
    with pytest.raises(UsageError, match="at the top level of a module"):
        activity.define(process=True, name="nameless")(lambda: None)
    with pytest.raises(UsageError, match="is async, and process=True is for plain functions"):
        activity.define(process=True)(is_async)
    assert steps.about.options(timeout=5).process
    log = open_log(embedded=tmp_path / "log.weft")
    with pytest.raises(UsageError, match=r"_shadowed of module .* is something else by now"):
        Worker(log, activities=[steps.shadowed])
    with pytest.raises(UsageError, match="activity_processes must be at least 1"):
        Worker(log, activities=[steps.about], activity_processes=0)
    log.close()


def test_function_runs_in_a_thread_where_there_are_no_processes() -> None:
    runner = AttemptRunner({"about": steps.about}, WorkerMetrics())
    task = ActivityTask("run-1", 7, 2, "about", encode_payload([ORDER]), "fulfil")
    result = asyncio.run(runner.run(task, "order-1"))
    assert isinstance(result, AttemptCompleted)
    assert decode_payload(result.result)["pid"] == os.getpid()
    runner.close()
