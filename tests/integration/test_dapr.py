"""Dapr's teaching examples, of which the import alone is changed; and what else their API says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import weft.dapr as wf
from weft.errors import AlreadyStartedError, RefusedError, UsageError
from weft.testing import Environment, crash_everywhere

EXAMPLES = Path(__file__).parent / "dapr_examples"
PRINTED = {
    "task_chaining": [
        "Step 1: Received input: 42.",
        "Step 2: Received input: 43.",
        "Step 3: Received input: 86.",
        "Status: COMPLETED, result: [43, 86, 84]",
        "Step 1: Received input: 500.",
        "Step 2: Received input: 501.",
        "Step 3: Received input: 1002.",
        "Executing error handler: too much.",
        "Status: FAILED, result: None",
        "Because: too much",
    ],
    "fan_out_fan_in": ["Final result: 110.", "Workflow COMPLETED"],
    "human_approval": [
        'Result: "Auto-approved"',
        "*** Requesting approval from user for order: laptop (1)",
        "*** Placing order: laptop (1)",
        "Result: \"Approved by 'Ada'\"",
        "*** Requesting approval from user for order: laptop (1)",
        'Result: "Cancelled"',
    ],
    "child_workflow": [
        "Child said: Hello, Weft, from main-1-child at attempt 3 (main-1-child)",
        'COMPLETED: "one of two"',
        'child: "asking"',
        "None",
        "None",
    ],
    "monitor": [
        "Look 1",
        "Look 2",
        "Look 3",
        "*** Alert: Job 'job1' is unhealthy!",
        "Look 4",
        "COMPLETED after 4 looks",
    ],
}
TIMEOUT_S = 60


def source_of(example: str) -> str:
    """With Weft's import, and nothing else changed."""
    source = (EXAMPLES / f"{example}.txt").read_text(encoding="utf-8")
    assert source.count("dapr") == source.count("dapr.ext.workflow") == 1
    return source.replace("dapr.ext.workflow", "weft.dapr")


def printed_by(example: str, folder: Path, **environment: str) -> list[str]:
    (folder / "app.py").write_text(source_of(example), encoding="utf-8")
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def loaded(example: str) -> ModuleType:
    module = ModuleType(f"dapr_example_{example}")
    sys.modules[module.__name__] = module
    exec(compile(source_of(example), f"{example}.py", "exec"), vars(module))  # an example's source
    return module


@pytest.mark.requirement("R2-19", "R2-20", "R2-21", "R2-27", "R2-28", "R2-29", "R2-31")
@pytest.mark.parametrize("example", PRINTED)
def test_teaching_example_runs_when_only_its_import_is_changed(
    example: str, tmp_path: Path
) -> None:
    assert printed_by(example, tmp_path, WEFT_FILE="examples.weft") == PRINTED[example]


@pytest.mark.kafka
def test_teaching_example_runs_on_kafka(tmp_path: Path, kafka_address: str, namespace: str) -> None:
    printed = printed_by(
        "child_workflow", tmp_path, WEFT_KAFKA=kafka_address, WEFT_NAMESPACE=namespace
    )
    assert printed == PRINTED["child_workflow"]


@pytest.mark.parametrize(
    ("example", "name", "value", "result"),
    [
        ("task_chaining", "random_workflow", 42, [43, 86, 84]),
        ("fan_out_fan_in", "batch_processing", 4, None),
        ("child_workflow", "main_workflow", None, "one of two"),
        ("monitor", "status_monitor", {"job_id": "job1", "is_healthy": True}, 4),
    ],
)
@pytest.mark.requirement("R2-42")
def test_teaching_example_ends_the_same_when_it_crashes_at_any_event(
    example: str, name: str, value: Any, result: Any
) -> None:
    def play(env: Environment, _: object) -> None:
        if example == "child_workflow":  # where it counts its attempts in memory
            env.fake("greet", RuntimeError("not yet"), "Hello")

    assert crash_everywhere(loaded(example).wfr.workflows[name], value, play=play) == result


@pytest.mark.requirement("R2-31", "R2-42")
def test_approval_ends_the_same_when_it_crashes_at_any_event() -> None:
    runtime, module = wf.WorkflowRuntime(), loaded("human_approval")
    runtime.register_workflow(module.purchase_order_workflow)
    runtime.register_activity(module.send_approval_request)
    runtime.register_activity(module.place_order)
    workflow = runtime.workflows["purchase_order_workflow"]
    order = {"cost": 2000.0, "product": "laptop", "quantity": 1}
    said = crash_everywhere(
        workflow,
        order,
        play=lambda _, run: run.signal("approval_received", {"approver": "Ada"}, after=1),
    )
    assert said == "Approved by 'Ada'"
    assert crash_everywhere(workflow, order) == "Cancelled"


# What else there is.


@pytest.fixture(scope="module")
def runtime() -> wf.WorkflowRuntime:
    made = wf.WorkflowRuntime("127.0.0.1", "50001")

    @made.activity
    async def shout(ctx: wf.WorkflowActivityContext, text: str) -> str:
        return text.upper()

    @made.workflow(name="waiting")
    def waits(ctx: wf.DaprWorkflowContext, name: str) -> Any:
        assert ctx.current_utc_datetime.tzinfo is None
        said = yield ctx.wait_for_external_event(
            name, timeout=ctx.current_utc_datetime + timedelta(hours=1)
        )
        return (yield ctx.call_activity("shout", input=said))

    @made.workflow
    @wf.alternate_name("plain")
    def calls_nothing(ctx: wf.DaprWorkflowContext, value: int) -> int:
        return value + ctx.is_patched("more")

    return made


@pytest.fixture(scope="module")
def client(
    runtime: wf.WorkflowRuntime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[wf.DaprWorkflowClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEFT_FILE", str(tmp_path_factory.mktemp("dapr") / "log.weft"))
        runtime.start()
        client = wf.DaprWorkflowClient()
        yield client
        client.close()
        runtime.shutdown()


def test_client_steers_workflows(client: wf.DaprWorkflowClient) -> None:
    started = client.schedule_new_workflow("waiting", input="Word", instance_id="steered")
    assert started == "steered"
    with pytest.raises(AlreadyStartedError):
        client.schedule_new_workflow("waiting", input="Word", instance_id="steered")
    client.pause_workflow("steered")
    state = client.get_workflow_state("steered")
    assert state is not None
    assert state.runtime_status is wf.WorkflowStatus.SUSPENDED
    client.raise_workflow_event("steered", "wORD", data="hello")
    with pytest.raises(RefusedError):
        client.purge_workflow("steered")
    client.resume_workflow("steered")
    ended = client.wait_for_workflow_completion("steered", timeout_in_seconds=30)
    assert ended is not None
    assert (ended.runtime_status.name, ended.serialized_output) == ("COMPLETED", '"HELLO"')
    assert ended.to_json() == {
        "instance_id": "steered",
        "name": "waiting",
        "runtime_status": "COMPLETED",
        "created_at": ended.created_at.isoformat(),
        "last_updated_at": ended.last_updated_at.isoformat(),
        "serialized_input": '"Word"',
        "serialized_output": '"HELLO"',
        "serialized_custom_status": None,
        "failure_details": None,
    }
    client.raise_workflow_event("steered", "word", data="too late")
    client.raise_workflow_event("nobody", "word")
    assert client.wait_for_workflow_completion("nobody", timeout_in_seconds=1) is None


def test_client_terminates_and_gives_up_waiting(client: wf.DaprWorkflowClient) -> None:
    client.schedule_new_workflow("waiting", input="word", instance_id="ended")
    with pytest.raises(TimeoutError):
        client.wait_for_workflow_completion("ended", timeout_in_seconds=0.2)
    client.terminate_workflow("ended", output="enough")
    state = client.wait_for_workflow_completion("ended", timeout_in_seconds=30)
    assert state is not None
    assert state.runtime_status is wf.WorkflowStatus.TERMINATED
    with pytest.raises(TimeoutError):
        client.wait_for_workflow_start("nobody", timeout_in_seconds=0.2)


def test_plain_function_is_a_workflow_that_calls_nothing(client: wf.DaprWorkflowClient) -> None:
    started = client.schedule_new_workflow("plain", input=1)
    state = client.wait_for_workflow_completion(started, timeout_in_seconds=30)
    assert state is not None
    assert state.serialized_output == "2"


def test_later_start_is_refused(client: wf.DaprWorkflowClient) -> None:
    with pytest.raises(UsageError, match=r"begin the workflow with ctx\.create_timer"):
        client.schedule_new_workflow(
            "plain", input=1, start_at=datetime.now(UTC) + timedelta(hours=1)
        )
    past = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
    assert client.schedule_new_workflow("plain", input=1, start_at=past)


def test_functions_are_registered_once_and_keep_what_they_are(runtime: wf.WorkflowRuntime) -> None:
    def twice(ctx: Any, value: int) -> int:
        return value * 2

    runtime.register_activity(twice, name="double")
    assert twice(None, 3) == 6
    with pytest.raises(UsageError, match="'double' is registered already"):
        runtime.register_activity(twice)
    with pytest.raises(UsageError, match="has the name 'double' already"):
        runtime.register_activity(twice, name="other")
    with pytest.raises(UsageError, match="takes a context and at most one input"):
        runtime.register_activity(lambda: None)
    with pytest.raises(UsageError, match="'plain' is registered already"):
        runtime.workflow(name="plain")(lambda _: None)


def test_function_that_was_not_registered_is_refused() -> None:
    runtime = wf.WorkflowRuntime()

    @runtime.workflow
    def calling(ctx: wf.DaprWorkflowContext) -> Any:
        yield ctx.call_activity(print)

    @runtime.workflow
    def having_children(ctx: wf.DaprWorkflowContext) -> Any:
        yield ctx.call_child_workflow(print)

    for name, what in (("calling", "activity"), ("having_children", "workflow")):
        with Environment() as env, pytest.raises(wf.TaskFailedError, match=f"is no {what}"):
            env.start(runtime.workflows[name]).result()


def test_policy_says_how_often_and_when() -> None:
    runtime = wf.WorkflowRuntime()
    policy = wf.RetryPolicy(timedelta(seconds=10), 3, 2.0, timedelta(seconds=15))

    @runtime.workflow
    def trying(ctx: wf.DaprWorkflowContext, is_patient: bool) -> Any:  # its input
        yield ctx.call_activity(failing, retry_policy=policy if is_patient else None)

    @runtime.activity
    def failing(ctx: wf.WorkflowActivityContext) -> None:
        raise LookupError("no")

    for is_patient, attempts, seconds in ((True, 3, 25), (False, 1, 0)):
        with Environment() as env:
            with pytest.raises(wf.TaskFailedError) as raised:
                env.start(runtime.workflows["trying"], is_patient).result()
            assert "LookupError" in str(raised.value)
            assert len(env.calls("failing")) == attempts
            assert env.elapsed == timedelta(seconds=seconds)
