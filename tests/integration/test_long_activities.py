"""Long activities end to end, in processes that are killed, stopped and told to end, on both logs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support import long_flows
from tests.support.long_flows import copying, hanging, impatient, limited
from tests.support.workers import WorkerProcess, lines, wait_until
from tests.support.workers import worker as worker_process
from weft.client import Client
from weft.errors import WorkflowFailedError
from weft.log import Log, open_log
from weft.records import ActivityLost, Event
from weft.topics import Namespace, catalogue, create

FILE = Path(long_flows.__file__)
LEASE_S = 3.0
T = TypeVar("T")


class Site:
    """A namespace with its topics, and processes that serve it."""

    def __init__(
        self, log: Log, options: list[str], namespace: str, folder: Path, stack: ExitStack
    ) -> None:
        self.log = log
        self.namespace = namespace
        self.options = [*options, "--namespace", namespace]
        self.notes_file = folder / "notes"
        self.hold = folder / "hold"
        self._folder = folder
        self._stack = stack
        admin = log.admin()
        create(admin, catalogue(Namespace(namespace), partitions=2, queues=["default", "nobody"]))
        admin.close()

    def start(self, name: str, *options: str, lease: str = f"{LEASE_S:g}s") -> WorkerProcess:
        """A worker process. Its activities note their doings under its name."""
        env = {
            "LONG_LOG": str(self.notes_file),
            "LONG_HOLD": str(self.hold),
            "LONG_NAME": name,
            "WEFT_LEASE": lease,
        }
        return self._stack.enter_context(
            worker_process(
                *self.options, "--instance-id", name, "--queue", "default", *options,
                file=FILE, env=env,
            )
        )  # fmt: skip

    def owner(self) -> WorkerProcess:
        """Serves workflows alone."""
        env = {"LONG_LOG": str(self.notes_file), "LONG_HOLD": str(self.hold), "LONG_NAME": "owner"}
        options = ("--instance-id", "owner", "--workflows-only")
        return self._stack.enter_context(
            worker_process(*self.options, *options, file=FILE, env=env)
        )

    def notes(self, workflow_id: str = "copy") -> list[str]:
        """What was noted for a workflow: where, and what."""
        parsed = [line.split(" ", 2) for line in lines(self.notes_file)]
        return [f"{name} {text}" for name, found, text in parsed if found == workflow_id]

    def do(self, act: Callable[[Client], Awaitable[T]]) -> T:
        async def with_client() -> T:
            async with Client(self.log, namespace=self.namespace) as client:
                return await act(client)

        return asyncio.run(with_client())

    def run(self, workflow: Any, *arguments: Any, id: str = "copy") -> None:
        self.do(lambda client: client.start(workflow, *arguments, id=id, wait_s=60))

    def result(self, id: str = "copy") -> Any:
        return self.do(lambda client: asyncio.wait_for(client.handle(id).result(), 60))

    def events(self, id: str = "copy") -> list[Event]:
        return self.do(lambda client: client.handle(id).history())

    def history(self, id: str = "copy") -> list[str]:
        return [type(event).__name__ for event in self.events(id)]

    def wait_for_lease(self, id: str = "copy") -> None:
        wait_until(lambda: "ActivityStarted" in self.history(id), "the attempt is leased", 60)
        time.sleep(1.5)  # a heartbeat or two, with what the activity has said


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        if request.param == "kafka":
            address = request.getfixturevalue("kafka_address")
            namespace = request.getfixturevalue("namespace")
            log, options = open_log(kafka=address), ["--kafka", address]
        else:
            file = tmp_path / "log.weft"
            log, namespace, options = open_log(embedded=str(file)), "test", ["--file", str(file)]
        stack.callback(log.close)
        found = Site(log, options, namespace, tmp_path, stack)
        found.hold.touch()
        yield found


@pytest.mark.requirement("R1-28")
def test_attempt_goes_to_another_worker_when_its_own_is_killed(site: Site) -> None:
    """From where it was, though its policy allows one attempt only; brought out again within the lease's time."""
    site.owner()
    first = site.start("first", "--activities-only")
    site.run(copying, 5)
    site.wait_for_lease()
    assert site.notes() == ["first from 0, attempt 1"]
    site.start("second", "--activities-only")
    first.kill()
    killed_s = time.time()
    wait_until(lambda: "ActivityLost" in site.history(), "the loss is noticed", 30)
    (lost,) = [event for event in site.events() if isinstance(event, ActivityLost)]
    assert lost.time_ms / 1000 - killed_s < LEASE_S + 2
    # The group gives the killed worker's partition to the other one when its session is over.
    wait_until(lambda: len(site.notes()) == 2, "another attempt", 30)
    assert site.notes()[1] == "second from 4, attempt 2"
    site.hold.unlink()
    assert site.result() == 5
    assert site.notes()[2:] == ["second done"]
    assert site.history().count("ActivityLost") == 1


def test_attempt_runs_on_when_the_owner_is_killed(site: Site) -> None:
    owner = site.owner()
    site.start("first", "--activities-only")
    site.run(copying, 5)
    site.wait_for_lease()
    owner.kill()
    time.sleep(LEASE_S)
    owner.restart()
    time.sleep(LEASE_S + 2)
    site.hold.unlink()
    assert site.result() == 5
    assert site.notes() == ["first from 0, attempt 1", "first done"]
    assert "ActivityLost" not in site.history()


def test_attempt_is_not_lost_when_it_is_the_owner_that_stands_still(site: Site) -> None:
    """For longer than the lease, shorter than its session: heartbeats lie unread on the log meanwhile."""
    owner = site.owner()
    site.start("first", "--activities-only")
    site.run(copying, 5)
    site.wait_for_lease()
    os.kill(owner.process.pid, signal.SIGSTOP)
    time.sleep(LEASE_S + 1.5)
    os.kill(owner.process.pid, signal.SIGCONT)
    time.sleep(LEASE_S + 2)
    site.hold.unlink()
    assert site.result() == 5
    assert site.notes() == ["first from 0, attempt 1", "first done"]
    assert "ActivityLost" not in site.history()


def test_details_survive_when_everything_is_killed_at_once(site: Site) -> None:
    """One process that is owner and activity worker in one."""
    only = site.start("only")
    site.run(copying, 5)
    site.wait_for_lease()
    only.kill()
    only.restart()
    wait_until(lambda: len(site.notes()) == 2, "another attempt", 30)
    assert site.notes()[1] == "only from 4, attempt 2"
    site.hold.unlink()
    assert site.result() == 5


def test_worker_that_is_stopped_gives_up_at_once_what_outlasts_its_drain(site: Site) -> None:
    site.owner()
    first = site.start("first", "--activities-only", "--drain", "500ms", lease="60s")
    site.run(copying, 5)
    wait_until(lambda: "ActivityStarted" in site.history(), "the attempt is leased", 60)
    site.start("second", "--activities-only", lease="60s")
    assert first.stop() == 0
    wait_until(lambda: len(site.notes()) == 3, "another attempt", 20)
    assert site.notes() == [
        "first from 0, attempt 1",
        "first cancelled",
        "second from 4, attempt 2",
    ]
    site.hold.unlink()
    assert site.result() == 5


def test_worker_that_stood_still_is_told_that_its_attempt_was_lost(site: Site) -> None:
    site.owner()
    first = site.start("first", "--activities-only")
    site.run(copying, 5)
    site.wait_for_lease()
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        site.start("second", "--activities-only")
        # Leased, so that the partition's way back to the first does not run it there once more.
        wait_until(lambda: site.history().count("ActivityStarted") == 2, "another attempt", 30)
        time.sleep(0.5)
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    wait_until(lambda: "first cancelled" in site.notes(), "the first is told", 30)
    site.hold.unlink()
    assert site.result() == 5
    assert site.notes()[-1] == "second done"
    assert site.history().count("ActivityCompleted") == 1


@pytest.mark.parametrize("kind", ["async", "thread", "inline"])
def test_cancellation_reaches_what_runs(site: Site, kind: str) -> None:
    site.start("only")
    site.run(impatient, kind, id="w")
    wait_until(lambda: site.notes("w")[-1:] == ["only cancelled"], "the cancellation", 30)
    assert site.history("w")[-1] == "ActivityCancelled"
    site.do(lambda client: client.handle("w").signal("go"))
    assert site.result("w") == "gave up"


@pytest.mark.parametrize("end", ["cancel", "terminate"])
def test_end_of_the_run_reaches_what_runs(site: Site, end: str) -> None:
    site.owner()
    site.start("first", "--activities-only", lease="60s")
    site.run(copying, 5)
    site.wait_for_lease()
    asked_s = time.monotonic()
    site.do(lambda client: getattr(client.handle("copy"), end)())
    wait_until(lambda: "first cancelled" in site.notes(), "the end", 30)
    assert time.monotonic() - asked_s < 10, "at once, not with the next lease"
    with pytest.raises(WorkflowFailedError):
        site.result()


def test_attempt_that_hangs_is_tried_again_with_its_details(site: Site) -> None:
    site.start("only")
    site.run(hanging, id="hang")
    assert site.result("hang") == "half was done"
    assert site.notes("hang") == ["only attempt 1", "only attempt 2"]
    assert "ActivityRetryScheduled" in site.history("hang")


def test_timeouts_of_the_whole_activity_end_it(site: Site) -> None:
    site.start("only")
    site.run(limited, id="limits")
    said = site.result("limits")
    assert said == [
        "TimeoutError: not begun by any worker within its schedule-to-start timeout of 1000 ms",
        "TimeoutError: not done within its schedule-to-close timeout of 2000 ms",
        "TimeoutError: not done within its schedule-to-close timeout of 500 ms",
    ]
    wait_until(lambda: site.notes("limits").count("only cancelled") == 2, "both are stopped")
