"""The guard is inside of workflow code and nowhere else, whatever that code does with it."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import pickle
import random
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.runs import DrivenRun
from tests.unit.worker.conftest import Serve
from tests.unit.worker.conftest import serve as serve  # noqa: PLC0414  # a fixture
from tests.unit.worker.kit import accepted_reply, replies_of
from weft import activity, workflow
from weft.codec import decode_payload
from weft.determinism import _patches, running_code
from weft.errors import DeterminismError, UpdateRejectedError, UsageError
from weft.records import QueryWorkflow, WorkflowCompleted
from weft.testing import Environment
from weft.worker._watchdog import TurnWatchdog
from weft.workflow import Context, GeneratorContext, Machine

pytestmark = pytest.mark.requirement("R2-13")


@pytest.fixture
def env() -> Iterator[Environment]:
    with Environment() as environment:
        yield environment


@pytest.fixture(autouse=True)
def left() -> Iterator[None]:
    """Whatever a test does, nothing is guarded after it."""
    yield
    assert running_code.code is None


@workflow.define(name="stamping")
async def stamping(ctx: Context) -> Any:
    await ctx.receive_signal("go")
    return time.time() > 0


@workflow.define(name="stamping")
async def mended(ctx: Context) -> Any:
    return await ctx.receive_signal("go")


@workflow.define(name="stamping")
async def swallowing(ctx: Context) -> Any:
    await ctx.receive_signal("go")
    try:
        time.time()
    except:  # noqa: E722  # what careless code does
        await ctx.sleep(1)
    return "nobody noticed"


@workflow.define(name="stamping")
async def in_a_task(ctx: Context) -> Any:
    """Nobody looks at what the task raised."""

    async def beside() -> None:
        time.time()

    await ctx.receive_signal("go")
    task = asyncio.create_task(beside())
    await asyncio.wait([task])
    return "nobody looked"


@workflow.define
def generating(ctx: GeneratorContext) -> Any:
    yield ctx.wait_for_external_event("go")
    return datetime.now()  # noqa: DTZ005  # the mistake


# What becomes of the run.


@pytest.mark.parametrize("code", [stamping, swallowing, in_a_task])
@pytest.mark.requirement("R2-14")
def test_run_is_blocked_and_goes_on_when_mended_code_is_deployed(code: Any, serve: Serve) -> None:
    served = serve(code)
    served.start("stamping")
    served.signal("go", "first")
    head = served.head()
    assert head.status == "blocked"
    assert head.reason.startswith(
        f"DeterminismError: Workflow 'stamping' (order-42) may not use time.time ({Path(__file__)}, line "
    )
    assert "it reads a clock, which shows another time in a replay. Instead, use ctx.now()." in (
        head.reason
    )
    assert head.reason.count(str(Path(__file__))) == 1
    assert served.story() == ["WorkflowStarted", "WorkflowBlocked", "RecordDeferred"]
    served.take_over(mended)
    assert served.head().status == "completed"
    (ended,) = [event for event in served.history() if isinstance(event, WorkflowCompleted)]
    assert decode_payload(ended.result) == "first"


def test_run_stays_blocked_when_the_same_code_is_deployed_again(serve: Serve) -> None:
    served = serve(stamping)
    served.start("stamping")
    served.signal("go", "first")
    reason = served.head().reason
    served.take_over()
    assert (served.head().status, served.head().reason) == ("blocked", reason)


def test_test_fails_at_once_when_the_code_is_refused(env: Environment) -> None:
    run = env.start(stamping)
    with pytest.raises(DeterminismError, match=r"may not use time\.time") as raised:
        run.signal("go")
    assert raised.value.rule == "WEFT101"
    assert run.status == "blocked"
    env.deploy(mended)
    assert run.result() is None


def test_test_fails_when_the_code_swallows_the_refusal(env: Environment) -> None:
    run = env.start(swallowing)
    run.signal("go", after=60)
    with pytest.raises(DeterminismError, match=r"may not use time\.time"):
        run.result()


def test_generator_is_told_what_generators_write(env: Environment) -> None:
    run = env.start(generating)
    with pytest.raises(DeterminismError, match=r"Instead, use ctx\.current_utc_datetime\."):
        run.signal("go")


def test_query_is_answered_with_the_refusal_and_the_run_goes_on(serve: Serve) -> None:
    @workflow.define
    async def asked(ctx: Context) -> Any:
        @ctx.on_query("host")
        def host() -> str:
            return os.environ["HOME"]

        return await ctx.receive_signal("go")

    served = serve(asked)
    served.start("asked")
    query = QueryWorkflow("host", accepted_reply())
    (reply,) = replies_of(served.turn(served.queries(query)))
    assert "may not use os.environ" in reply.reason
    served.signal("go", "first")
    assert served.head().status == "completed"


def test_condition_is_guarded(env: Environment) -> None:
    @workflow.define
    async def waiting(ctx: Context) -> None:
        await ctx.wait_condition(lambda: time.monotonic() > 0)

    with pytest.raises(DeterminismError, match=r"time\.monotonic"):
        env.start(waiting)


def test_code_that_is_dropped_can_do_nothing_on_its_way_out(tmp_path: Path) -> None:
    @workflow.define
    async def tidying(ctx: Context) -> None:
        try:
            await ctx.receive_signal("go")
        finally:
            (tmp_path / "left").write_text("behind")

    DrivenRun(tidying).close()
    assert list(tmp_path.iterdir()) == []


# Where nothing is refused.


@activity.define
async def busy() -> str:
    return f"{time.time()}{uuid4()}{os.environ['HOME']}{random.random()}{datetime.now()}"  # noqa: DTZ005


@activity.define
def busy_in_a_thread() -> str:
    time.sleep(0)
    return Path(__file__).read_text(encoding="utf-8")[:1]


@activity.define(inline=True)
async def busy_inline() -> str:
    return f"{time.time()}{uuid4()}"


def test_activities_and_tests_do_what_they_like(env: Environment) -> None:
    @workflow.define
    async def calling(ctx: Context) -> Any:
        return [
            await ctx.execute_activity(busy),
            await ctx.execute_activity(busy_in_a_thread),
            await ctx.execute_activity(busy_inline),
        ]

    run = env.start(calling)
    assert time.time() > 0
    assert len(run.result()) == 3
    assert uuid4() != uuid4()


def test_other_threads_do_what_they_like_while_workflow_code_runs() -> None:
    begun, ended, told = threading.Event(), threading.Event(), list[object]()

    def beside() -> None:
        begun.wait(10)
        told.append(time.time())
        told.append(socket.gethostname())
        ended.set()

    @workflow.define
    async def slow(ctx: Context) -> bool:
        begun.set()
        with workflow.unguarded():
            return ended.wait(10)

    thread = threading.Thread(target=beside)
    thread.start()
    run = DrivenRun(slow)
    thread.join()
    assert run.status == "completed"
    assert len(told) == 2


def test_nothing_is_refused_in_an_unguarded_block_and_again_after_it() -> None:
    @workflow.define
    async def measuring(ctx: Context) -> None:
        with workflow.unguarded():
            began = time.perf_counter()
            with workflow.unguarded():
                await ctx.execute_activity(busy)
            ctx.logger.info("took %s s", time.perf_counter() - began)
        await ctx.receive_signal("go")
        time.perf_counter()

    run = DrivenRun(measuring)
    run.complete("busy", "")
    with pytest.raises(DeterminismError, match="perf_counter"):
        run.signal("go")
    run.close()


def test_block_of_one_task_unguards_no_other() -> None:
    @workflow.define
    async def racing(ctx: Context) -> None:
        async def measuring() -> None:
            with workflow.unguarded():
                await asyncio.sleep(0)
                await asyncio.sleep(0)

        task = asyncio.create_task(measuring())
        await asyncio.sleep(0)
        time.time()
        await task

    with pytest.raises(DeterminismError, match=r"time\.time"):
        DrivenRun(racing)


def test_block_is_over_when_its_code_is_dropped() -> None:
    @workflow.define
    async def measuring(ctx: Context) -> None:
        with workflow.unguarded():
            await ctx.receive_signal("never")

    DrivenRun(measuring).close()
    with pytest.raises(DeterminismError):
        DrivenRun(mended_now)


@workflow.define
async def mended_now(ctx: Context) -> None:
    time.time()


class _ToFile(logging.Handler):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        self.path.write_text(f"{time.time()} {record.getMessage()}", encoding="utf-8")


def test_handlers_of_logging_write_where_they_write(tmp_path: Path) -> None:
    handler = _ToFile(tmp_path / "log")
    logger = logging.getLogger("tests.guard")
    logger.addHandler(handler)

    @workflow.define
    async def logging_itself(ctx: Context) -> None:
        logger.warning("plain")
        try:
            int("no order")
        except ValueError:
            ctx.logger.exception("told")

    try:
        assert DrivenRun(logging_itself).status == "completed"
    finally:
        logger.removeHandler(handler)
    assert (tmp_path / "log").read_text(encoding="utf-8").endswith("plain")


def test_module_may_do_anything_while_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_late.py").write_text("import os, time\nat = (os.getcwd(), time.time())\n")
    monkeypatch.syspath_prepend(tmp_path)

    @workflow.define
    async def importing(ctx: Context) -> int:
        return len(importlib.import_module("imported_late").at)

    assert DrivenRun(importing).status == "completed"
    monkeypatch.delitem(sys.modules, "imported_late")


class _Closing:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.itself = self

    def __del__(self) -> None:
        self.path.write_text("closed", encoding="utf-8")


def test_objects_of_others_are_ended_whenever_python_comes_to_it(tmp_path: Path) -> None:
    _Closing(tmp_path / "collected")
    weakref.finalize(_Closing(tmp_path / "too"), (tmp_path / "finalized").write_text, "closed")

    @workflow.define
    async def collecting(ctx: Context) -> None:
        gc.collect()

    assert DrivenRun(collecting).status == "completed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["collected", "finalized", "too"]


def test_code_within_code_leaves_the_outer_guarded() -> None:
    @workflow.define
    async def outer(ctx: Context) -> None:
        DrivenRun(mended).close()
        time.time()

    with pytest.raises(DeterminismError, match="Workflow 'outer'"):
        DrivenRun(outer)


def test_nothing_is_guarded_after_code_was_interrupted() -> None:
    @workflow.define
    async def looping(ctx: Context) -> None:
        while True:
            pass

    watchdog = TurnWatchdog(0.05)
    watchdog.start()
    run = DrivenRun(mended)
    try:
        machine = Machine(looping, "order-42", watchdog)
        with pytest.raises(Exception, match="did not come to an `await`"):
            machine.activate(run.events[0])
        machine.close()
    finally:
        watchdog.stop()
        run.close()
    assert time.time() > 0


# What stands for the functions.


def test_wrapped_functions_are_what_they_were() -> None:
    DrivenRun(mended).close()

    class Clock:
        read: Any = time.time
        at = datetime.now
        drawn = staticmethod(random.random)

    class Moment(datetime):
        pass

    clock = Clock()
    assert abs(clock.read() - time.time()) < 60
    assert type(clock.at()) is datetime
    assert clock.drawn() < 1
    assert type(Moment.now()) is type(Moment.today()) is Moment
    assert time.time.__name__ == "time"
    assert datetime.now.__qualname__ == "datetime.now"
    assert pickle.loads(pickle.dumps(time.time)) is time.time  # our own
    assert os.stat in os.supports_dir_fd
    assert os.access in os.supports_effective_ids
    assert isinstance(threading.Lock(), type(threading.Lock()))
    with pytest.raises(TypeError):
        time.time(1)
    random.seed(3)
    assert random.random() == random.Random(3).random()


def test_library_that_travels_in_time_finds_the_clocks_in_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes them for what they are without looking, and would end the process."""
    (tmp_path / "_time_machine.py").write_text(
        "said = []\npatch = lambda: said.append('patch')\nunpatch = lambda: said.append('unpatch')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    _patches._make_room_for_time_machine()
    library: Any = importlib.import_module("_time_machine")
    assert library.said == ["patch", "unpatch"]
    library.patch_if_needed = lambda: library.said.append("patch_if_needed")
    _patches._make_room_for_time_machine()
    assert library.said[2:] == ["patch_if_needed"]
    monkeypatch.delitem(sys.modules, "_time_machine")


def test_refusal_survives_pickling() -> None:
    error = DeterminismError("no", name="time.time", rule="WEFT101", line="app.py, line 1")
    again = pickle.loads(pickle.dumps(error))  # our own
    assert (str(again), again.name, again.rule, again.line) == (
        "no",
        "time.time",
        "WEFT101",
        "app.py, line 1",
    )
    assert not isinstance(error, UsageError)


@pytest.mark.parametrize("swallows", [False, True])
def test_update_is_rejected_when_its_validator_is_refused_and_the_run_goes_on(
    env: Environment,
    swallows: bool,
) -> None:
    @workflow.define
    async def asked(ctx: Context) -> Any:
        def fits(value: str) -> None:
            try:
                time.time()
            except DeterminismError:
                if not swallows:
                    raise

        @ctx.on_update("line", validator=fits)
        async def line(value: str) -> None: ...

        return await ctx.receive_signal("go")

    run = env.start(asked)
    with pytest.raises(UpdateRejectedError, match=r"may not use time\.time"):
        run.update("line", "a")
    run.signal("go", "first")
    assert run.result() == "first"
