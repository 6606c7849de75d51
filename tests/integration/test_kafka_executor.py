"""The engine behind the contract of executors, on a real broker and on the embedded log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import _delete_topics
from tests.support.executor_contract import Case, ExecutorContract, defined_double
from tests.unit.tracing.kit import Shown, Spans, context_of
from weft import activity
from weft.engine import KafkaExecutor
from weft.errors import UsageError
from weft.executor import (
    Config,
    DurableExecutor,
    ExecutorError,
    Hooks,
    Signal,
    WorkflowOptions,
    apply_middleware,
    new,
    providers,
    with_tracing,
)
from weft.executor._hooks import HOOK_NAMES
from weft.log import open_log
from weft.stores import InMemoryStore
from weft.tracing import RunTracing, current_traceparent

WAIT_S = 90.0


class Shared:
    """One executor for all cases of a class, on a loop in a thread of its own; each case has its own hooks."""

    def __init__(self, **where: Any) -> None:
        self.case_hooks = Hooks()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        hooks = Hooks(**{name: self._forward(name) for name in HOOK_NAMES})
        options = {"partitions": 2, "activities": [defined_double], **where}
        self.executor = new("kafka", Config(hooks=hooks, extra=options))
        assert isinstance(self.executor, KafkaExecutor)
        self.call(self.executor.open())

    def _forward(self, name: str) -> Any:
        return lambda workflow_id, about: self.case_hooks.call(name, workflow_id, about)

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    def close(self) -> None:
        assert isinstance(self.executor, KafkaExecutor)
        self.call(self.executor.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture(scope="class", params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "embedded":
        path = tmp_path_factory.mktemp("executor") / "log.weft"
        with closing(Shared(embedded=path)) as opened:
            yield opened
        return
    address = request.getfixturevalue("kafka_address")
    namespace = f"t{uuid.uuid4().hex[:12]}"
    with closing(Shared(kafka=address, namespace=namespace)) as opened:
        yield opened
    _delete_topics(address, namespace)


@pytest.mark.requirement("R1-2", "R1-31")
class TestKafkaExecutor(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _shared(self, shared: Shared) -> None:
        self.shared = shared

    def run(self, case: Case, hooks: Hooks | None = None) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(self.wait_s):
                await case(self.shared.executor)

        self.shared.case_hooks = hooks or Hooks()
        self.shared.call(bounded())


@pytest.mark.requirement("R1-32")
def test_executor_is_known_by_its_name() -> None:
    assert "kafka" in providers()
    assert isinstance(new("kafka", Config(extra={"embedded": "x"})), DurableExecutor)
    with pytest.raises(UsageError, match="it takes no store"):
        new("kafka", Config(InMemoryStore(), extra={"embedded": "x"}))


async def approved(ctx: Any, input: Any) -> Any:
    return await ctx.receive_signal("approval")


def test_executor_without_a_worker_is_a_client_of_others(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "log.weft"
        worker = KafkaExecutor(embedded=path, partitions=2, workflows=[approved])
        client = KafkaExecutor(embedded=path, worker=False)
        with pytest.raises(UsageError, match="the executor is not open"):
            await client.query("wf-1", "status")
        async with asyncio.timeout(WAIT_S), worker, client:
            handle = await client.execute(approved, WorkflowOptions(id="wf-1"))
            await client.signal("wf-1", Signal("approval", 7))
            assert await handle.result() == 7
            assert await worker.query("wf-1", "result") == 7

    asyncio.run(run())


def test_request_is_refused_at_once_when_no_workflow_was_ever_executed_here(
    where: dict[str, Any],
) -> None:
    async def run() -> None:
        async with asyncio.timeout(WAIT_S):
            async with KafkaExecutor(**where, partitions=2) as executor:
                await (await executor.execute(nothing, WorkflowOptions(id="ended"))).result()
            async with KafkaExecutor(**where) as executor:
                for workflow_id in ("unknown", "ended"):
                    for call in (
                        executor.cancel(workflow_id),
                        executor.signal(workflow_id, Signal("go")),
                    ):
                        with pytest.raises(ExecutorError, match="not found or not running") as told:
                            await call
                        assert told.value.code == "not_found"
                assert await executor.query("ended", "status") == "completed"

    asyncio.run(run())


def test_end_of_the_worker_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        executor = KafkaExecutor(embedded=tmp_path / "log.weft", partitions=2, workflows=[approved])
        async with asyncio.timeout(WAIT_S), executor:
            assert executor._worker is not None
            executor._worker._owner_error = RuntimeError("broken")
            executor._worker.stop()
            assert executor._serving is not None
            await asyncio.wait([executor._serving])
            with pytest.raises(
                ExecutorError, match="the worker of this executor has ended: broken"
            ):
                await executor.query("wf-1", "status")

    asyncio.run(run())


async def nothing(_ctx: Any) -> None:
    """A workflow."""


_CHILD = """
import asyncio, json, sys
from weft.engine import KafkaExecutor
from weft.errors import AlreadyStartedError
from weft.executor import RetryPolicy, WorkflowOptions

def step(number):
    with open(sys.argv[2], "a") as file:
        file.write(f"{number} ")
    return number

async def fails_now_and_then(ctx, number):
    if number % 5 == 0 and ctx.attempt == 1:
        raise RuntimeError("once")
    return step(number)

async def steps(ctx, count):
    total = 0
    for number in range(count):
        total += await ctx.execute_activity(
            fails_now_and_then, number, retry=RetryPolicy(3, 0.02)
        )
    return total

async def main():
    where = json.loads(sys.argv[1])
    async with KafkaExecutor(**where, partitions=2, workflows=[steps]) as executor:
        try:
            await executor.execute(steps, WorkflowOptions(id="wf-1", input=60))
        except AlreadyStartedError:
            pass
        print(await executor._client.handle("wf-1").result(), flush=True)

asyncio.run(main())
"""


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    if request.param == "embedded":
        yield {"embedded": str(tmp_path / "log.weft")}
        return
    address = request.getfixturevalue("kafka_address")
    namespace = f"t{uuid.uuid4().hex[:12]}"
    yield {"kafka": address, "namespace": namespace}
    _delete_topics(address, namespace)


@pytest.mark.requirement("R1-1", "R1-28")
def test_plain_functions_go_on_when_their_process_is_killed(
    where: dict[str, str], tmp_path: Path
) -> None:
    """Nobody but the workflow's code knows its activities: it is driven before one of them is run again."""
    noted = tmp_path / "noted"
    noted.touch()
    command = [sys.executable, "-c", _CHILD, json.dumps(where), str(noted)]
    for reached in (12, 40):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        until = time.monotonic() + WAIT_S
        while f" {reached} " not in noted.read_text() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert ended.stdout == f"{sum(range(60))}\n", ended.stderr
    numbers = [int(word) for word in noted.read_text().split()]
    assert sorted(set(numbers)) == list(range(60))
    assert len(numbers) <= 62


def test_log_that_is_open_stays_open(tmp_path: Path) -> None:
    async def run(log: Any) -> None:
        async with asyncio.timeout(WAIT_S), KafkaExecutor(log=log, partitions=1) as executor:
            handle = await executor.execute(approved, WorkflowOptions(id="wf-1"))
            await executor.cancel("wf-1")
            with pytest.raises(Exception, match="was cancelled"):
                await handle.result()

    with closing(open_log(embedded=tmp_path / "log.weft")) as log:
        asyncio.run(run(log))
        with closing(log.admin()) as admin:
            assert "default.signals" in admin.list_topics()


@activity.define
async def told_where() -> str:
    """Goes over a queue, to an activity worker: what it is told came with its task."""
    return current_traceparent()


async def asks_where(ctx: Any, input: Any) -> Any:
    return await ctx.execute_activity(told_where)


def test_trace_goes_from_the_caller_through_the_log_to_the_activity(where: dict[str, Any]) -> None:
    spans = Spans()
    tracing = RunTracing(spans.provider)

    async def run() -> str:
        executor = KafkaExecutor(
            **where, partitions=2, activities=[told_where], observers=[tracing]
        )
        async with asyncio.timeout(WAIT_S), executor:
            wrapped = apply_middleware(executor, with_tracing(spans.provider))
            handle = await wrapped.execute(asks_where, WorkflowOptions(id="wf-1"))
            told = await handle.result()
            while len(spans.all) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            return str(told)

    told = asyncio.run(run())
    assert sorted(spans.tree()) == [
        Shown("activity told_where", "workflow asks_where", "OK"),
        Shown("attempt 1 of told_where", "activity told_where", "OK"),
        Shown("workflow asks_where", "workflow.execute", "OK"),
        Shown("workflow.execute", "", "OK"),
    ]
    (trace_id,) = spans.trace_ids()
    attempt = context_of(spans.named("attempt 1 of told_where")).span_id
    assert told == f"00-{trace_id:032x}-{attempt:016x}-01"
